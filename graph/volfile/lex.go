package volfile

import (
	"bytes"
	"fmt"
)

type tokenKind uint8

const (
	tokenEOF tokenKind = iota
	tokenWord
	tokenString
	tokenVolume
	tokenType
	tokenOption
	tokenSubvolumes
	tokenEnd
)

var keywords = map[string]tokenKind{
	"volume":     tokenVolume,
	"type":       tokenType,
	"option":     tokenOption,
	"subvolumes": tokenSubvolumes,
	"end-volume": tokenEnd,
}

type token struct {
	kind tokenKind
	text string // of a string: without quotes and backslashes
	line int
}

// isText reports whether the token may stand for a name, type, key or value.
func (t token) isText() bool { return t.kind == tokenWord || t.kind == tokenString }

// String names the token in messages.
func (t token) String() string {
	switch t.kind {
	case tokenEOF:
		return "the end of the file"
	case tokenWord, tokenString:
		return quote(t.text)
	}
	return "keyword " + t.text
}

// quote shortens what a message repeats.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

type lexer struct {
	src  []byte
	at   int
	line int
}

// next returns the next token, or a complaint about line l.line.
func (l *lexer) next() (token, string) {
	l.skip()
	if l.at == len(l.src) {
		return token{line: l.line}, ""
	}
	switch l.src[l.at] {
	case '"':
		return l.str()
	case '\\':
		return token{}, `backslash outside of a string in double quotes`
	}
	from := l.at
	for l.at < len(l.src) && isWordByte(l.src[l.at]) {
		l.at++
	}
	text := string(l.src[from:l.at])
	kind, ok := keywords[text]
	if !ok {
		kind = tokenWord
	}
	return token{kind, text, l.line}, ""
}

// skip passes over white space and comments.
func (l *lexer) skip() {
	for ; l.at < len(l.src); l.at++ {
		switch l.src[l.at] {
		case '\n':
			l.line++
		case ' ', '\t', '\r':
		case '#':
			n := bytes.IndexByte(l.src[l.at:], '\n')
			if n < 0 {
				l.at = len(l.src)
				return
			}
			l.at += n - 1
		default:
			return
		}
	}
}

func (l *lexer) str() (token, string) {
	var text []byte
	for i := l.at + 1; i < len(l.src); i++ {
		c := l.src[i]
		if c == '"' {
			l.at = i + 1
			return token{tokenString, string(text), l.line}, ""
		}
		if c == '\\' && i+1 < len(l.src) {
			i++
			c = l.src[i]
		}
		if c == '\n' {
			break
		}
		text = append(text, c)
	}
	return token{}, "string is not ended by a double quote on its line"
}

func isWordByte(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '"', '\\':
		return false
	}
	return true
}
