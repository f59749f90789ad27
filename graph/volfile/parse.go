package volfile

import (
	"bytes"
	"errors"
)

// maxErrors is how many complaints one Parse makes.
const maxErrors = 20

// Parse reads a volfile. name is for messages. The error joins one or several
// *Error; see Errors.
func Parse(name string, src []byte) (*File, error) {
	if len(src) > MaxSize {
		return nil, &Error{name, 1, "volfile is larger than 16 MiB"}
	}
	if err := checkBytes(name, src); err != nil {
		return nil, err
	}
	p := &parser{
		lex:  lexer{src: src, line: 1},
		file: &File{Name: name, byName: map[string]*Volume{}},
	}
	p.parse()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	p.warnUnused()
	return p.file, nil
}

// checkBytes looks at the text as a whole, comments included, as GlusterFS
// does before it reads the first token.
func checkBytes(name string, src []byte) error {
	line := func(at int) int { return 1 + bytes.Count(src[:at], []byte{'\n'}) }
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return &Error{name, line(i), "NUL byte"}
	}
	for i, c := range src {
		if c == '`' && (i == 0 || src[i-1] != '\\') {
			return &Error{name, line(i), "backtick: commands in a volfile are never run here; write \"\\`\" for the character itself"}
		}
	}
	return nil
}

type parser struct {
	lex  lexer
	tok  token
	file *File
	errs []error
	// stop is set once there is no sense in going on.
	stop bool
	// options says where in the volume being read a key is.
	options map[string]int
}

// parse reads to the end or to the first complaint after which it would only
// guess.
func (p *parser) parse() {
	p.advance()
	for !p.stop && p.tok.kind != tokenEOF {
		p.volume()
	}
	if !p.stop && len(p.errs) == 0 && len(p.file.Volumes) == 0 {
		p.errorf(p.tok.line, "there is no volume in this file")
	}
}

func (p *parser) advance() {
	if p.stop {
		return
	}
	t, msg := p.lex.next()
	if msg != "" {
		p.fatalf(p.lex.line, "%s", msg)
		return
	}
	p.tok = t
}

func (p *parser) errorf(line int, format string, a ...any) {
	p.errs = append(p.errs, p.file.Errorf(Pos{line}, format, a...))
	if len(p.errs) == maxErrors {
		p.stop = true
	}
}

func (p *parser) fatalf(line int, format string, a ...any) {
	p.errorf(line, format, a...)
	p.stop = true
}

func (p *parser) warnf(line int, format string, a ...any) {
	p.file.Warnings = append(p.file.Warnings, p.file.Errorf(Pos{line}, format, a...))
}

// text takes a word or string from the line of the keyword before it.
func (p *parser) text(what string) (string, bool) {
	if p.stop {
		return "", false
	}
	t := p.tok
	if !t.isText() {
		p.fatalf(t.line, "expected %s, found %s", what, t)
		return "", false
	}
	p.advance()
	return t.text, !p.stop
}

// volume reads from `volume` to `end-volume`.
func (p *parser) volume() {
	if p.tok.kind != tokenVolume {
		p.fatalf(p.tok.line, "expected keyword volume, found %s", p.tok)
		return
	}
	v := &Volume{Pos: Pos{p.tok.line}}
	p.advance()
	var ok bool
	if v.Name, ok = p.text("the name of the volume"); !ok {
		return
	}
	if old := p.file.byName[v.Name]; old != nil {
		p.errorf(v.Line, "volume %s is defined a second time; the first is on line %d", quote(v.Name), old.Line)
	}
	if !p.typ(v) {
		return
	}
	p.options = map[string]int{}
	for p.statement(v) {
	}
	if p.stop {
		return
	}
	p.advance() // end-volume
	p.file.Volumes = append(p.file.Volumes, v)
	if p.file.byName[v.Name] == nil {
		p.file.byName[v.Name] = v
	}
}

func (p *parser) typ(v *Volume) bool {
	if p.stop {
		return false
	}
	if p.tok.kind != tokenType {
		p.fatalf(p.tok.line, "volume %s: expected keyword type first, found %s", quote(v.Name), p.tok)
		return false
	}
	p.advance()
	var ok bool
	v.Type, ok = p.text("the type of the volume")
	return ok
}

// statement reads one option or the subvolumes; false at end-volume or when it
// makes no sense to go on.
func (p *parser) statement(v *Volume) bool {
	if p.stop {
		return false
	}
	switch p.tok.kind {
	case tokenOption:
		p.option(v)
	case tokenSubvolumes:
		p.subvolumes(v)
	case tokenEnd:
		return false
	case tokenEOF:
		p.fatalf(p.tok.line, "volume %s of line %d is not ended by end-volume", quote(v.Name), v.Line)
	case tokenVolume:
		p.fatalf(p.tok.line, "volume inside volume %s of line %d: end-volume is missing", quote(v.Name), v.Line)
	case tokenType:
		p.fatalf(p.tok.line, "volume %s has a second type", quote(v.Name))
	default:
		p.fatalf(p.tok.line, "volume %s: expected option, subvolumes or end-volume, found %s", quote(v.Name), p.tok)
	}
	return !p.stop
}

func (p *parser) option(v *Volume) {
	o := Option{Pos: Pos{p.tok.line}}
	p.advance()
	var ok bool
	if o.Key, ok = p.text("the name of the option"); !ok {
		return
	}
	if o.Value, ok = p.text("the value of option " + quote(o.Key)); !ok {
		return
	}
	if p.tok.isText() {
		p.fatalf(p.tok.line, "option %s has more than one value: %s; quote a value with spaces", quote(o.Key), p.tok)
		return
	}
	if i, ok := p.options[o.Key]; ok {
		p.warnf(o.Line, "volume %s: option %s was given on line %d already; this value counts", quote(v.Name), quote(o.Key), v.Options[i].Line)
		v.Options[i] = o
		return
	}
	p.options[o.Key] = len(v.Options)
	v.Options = append(v.Options, o)
}

func (p *parser) subvolumes(v *Volume) {
	line := p.tok.line
	if v.Subvolumes != nil {
		p.fatalf(line, "volume %s has a second subvolumes line", quote(v.Name))
		return
	}
	p.advance()
	if p.stop {
		return
	}
	if !p.tok.isText() {
		p.fatalf(p.tok.line, "volume %s: subvolumes without a name", quote(v.Name))
		return
	}
	named := map[string]bool{}
	for !p.stop && p.tok.isText() {
		name := p.tok.text
		switch {
		case name == v.Name:
			p.errorf(p.tok.line, "volume %s is its own subvolume", quote(name))
		case p.file.byName[name] == nil:
			p.errorf(p.tok.line, "volume %s: subvolume %s is not defined above", quote(v.Name), quote(name))
		case named[name]:
			p.warnf(p.tok.line, "volume %s: subvolume %s is named twice", quote(v.Name), quote(name))
		}
		named[name] = true
		v.Subvolumes = append(v.Subvolumes, name)
		p.advance()
	}
}

// warnUnused points at volumes that the top does not use: usually the real top
// is not the last, or a line was forgotten.
func (p *parser) warnUnused() {
	used := map[*Volume]bool{}
	p.file.walk(func(v *Volume, _ int, _ bool) { used[v] = true })
	for _, v := range p.file.Volumes {
		if !used[v] {
			p.warnf(v.Line, "volume %s is not below %s, the last volume, and is not used", quote(v.Name), quote(p.file.Top().Name))
		}
	}
}
