package volfile

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Drawing says what of a graph is drawn. The zero Drawing shows all options
// that the file gives.
type Drawing struct {
	// Hide leaves an option out, say because it has its default value.
	Hide func(*Volume, Option) bool
}

// Tree draws the graph as indented text, from the top to the leaves. A volume
// that several share is drawn once and referred to after that.
func Tree(w io.Writer, f *File) error { return Drawing{}.Tree(w, f) }

// Dot draws the graph in graphviz's language, from the top to the leaves.
func Dot(w io.Writer, f *File) error { return Drawing{}.Dot(w, f) }

// Tree is the function Tree with what d says.
func (d Drawing) Tree(w io.Writer, f *File) error {
	b := bufio.NewWriter(w)
	f.walk(func(v *Volume, depth int, again bool) {
		fmt.Fprintf(b, "%s%s  %s", strings.Repeat("  ", min(depth, maxIndent)), bareOrString(v.Name), bareOrString(v.Type))
		if again {
			fmt.Fprint(b, "  (see above)")
		} else if opts := d.options(v); len(opts) > 0 {
			fmt.Fprintf(b, "  [%s]", strings.Join(opts, ", "))
		}
		fmt.Fprintln(b)
	})
	return b.Flush()
}

// maxIndent keeps the drawing of a hostile chain from growing with the square
// of its length.
const maxIndent = 100

// Dot is the function Dot with what d says.
func (d Drawing) Dot(w io.Writer, f *File) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "digraph \"%s\" {\n  rankdir=TB;\n  node [shape=box, fontname=\"monospace\"];\n", dotEscape(f.title()))
	// Nodes are numbered: names may hold what graphviz cannot tell apart.
	ids := map[string]int{}
	for i, v := range f.Volumes {
		ids[v.Name] = i
	}
	f.walk(func(v *Volume, _ int, again bool) {
		if again {
			return
		}
		label := append([]string{v.Name, v.Type}, d.options(v)...)
		for i := range label {
			label[i] = dotEscape(label[i])
		}
		fmt.Fprintf(b, "  n%d [label=\"%s\"];\n", ids[v.Name], strings.Join(label, `\n`))
		for _, c := range v.Subvolumes {
			fmt.Fprintf(b, "  n%d -> n%d;\n", ids[v.Name], ids[c])
		}
	})
	fmt.Fprintln(b, "}")
	return b.Flush()
}

func (f *File) title() string {
	if t := f.Top(); t != nil {
		return t.Name
	}
	return ""
}

func (d Drawing) options(v *Volume) []string {
	var out []string
	for i := range v.Options {
		o := &v.Options[i]
		if d.Hide == nil || !d.Hide(v, *o) {
			out = append(out, bareOrString(o.Key)+" "+o.shown())
		}
	}
	return out
}

// shown is the value as people may see it.
func (o *Option) shown() string {
	if strings.HasSuffix(o.Key, "password") {
		return "***"
	}
	return bareOrString(o.Value)
}

// dotEscape makes text fit for a quoted label, where graphviz takes a backslash
// as the beginning of an escape, and an ampersand as that of an entity. Bytes that are no text are shown as \xNN.
func dotEscape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '&':
			b.WriteString("&amp;")
		case r == utf8.RuneError && n == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\\x%02x`, s[0])
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}
