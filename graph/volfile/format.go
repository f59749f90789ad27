package volfile

import (
	"bytes"
	"strings"
)

// Format prints the file in normal form (see the package comment).
func (f *File) Format() []byte {
	var b bytes.Buffer
	for i, v := range f.Volumes {
		if i > 0 {
			b.WriteByte('\n')
		}
		line(&b, "volume", v.Name)
		line(&b, "    type", v.Type)
		for _, o := range v.Options {
			line(&b, "    option", o.Key, o.Value)
		}
		if len(v.Subvolumes) > 0 {
			line(&b, "    subvolumes", v.Subvolumes...)
		}
		line(&b, "end-volume")
	}
	return b.Bytes()
}

func line(b *bytes.Buffer, head string, texts ...string) {
	b.WriteString(head)
	for _, t := range texts {
		b.WriteByte(' ')
		b.WriteString(bareOrString(t))
	}
	b.WriteByte('\n')
}

// bareOrString writes text as a word where that gives the same token back, and
// as a string in double quotes where not.
func bareOrString(s string) string {
	if isBare(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c == '`' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isBare(s string) bool {
	if _, ok := keywords[s]; ok || s == "" || s[0] == '#' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isWordByte(s[i]) || s[i] == '`' {
			return false
		}
	}
	return true
}
