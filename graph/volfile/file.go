package volfile

import (
	"errors"
	"fmt"
)

// MaxSize is the size in bytes above which a volfile is refused. The volfile of
// a volume with ten thousand bricks is about half of it.
const MaxSize = 16 << 20

// File is a parsed volfile.
type File struct {
	// Name is what it is called in messages, usually its path.
	Name string
	// Volumes in the order of the text. Subvolumes come before their parents.
	Volumes []*Volume
	// Warnings are what is odd but does no harm.
	Warnings []*Error

	byName map[string]*Volume
}

// Volume is one translator of the graph.
type Volume struct {
	Name, Type string
	// Options in the order of the text, each key once.
	Options []Option
	// Subvolumes are the names of its children, in order.
	Subvolumes []string
	Pos
}

// Option is one option of a volume, not yet interpreted.
type Option struct {
	Key, Value string
	Pos
}

// Pos is a place in the text.
type Pos struct {
	// Line counts from 1; 0 where there is no text.
	Line int
}

// Error is a complaint about one line.
type Error struct {
	File string
	Line int
	Msg  string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// Errors returns the complaints joined in err, in the order of the text.
func Errors(err error) []*Error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range j.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return []*Error{e}
	}
	return nil
}

// Top is the volume that answers the requests: the last. A parsed File always
// has one; nil for a File without volumes.
func (f *File) Top() *Volume {
	if len(f.Volumes) == 0 {
		return nil
	}
	return f.Volumes[len(f.Volumes)-1]
}

// Lookup returns the volume of that name, or nil.
func (f *File) Lookup(name string) *Volume {
	if f.byName != nil {
		return f.byName[name]
	}
	for _, v := range f.Volumes {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Errorf returns a complaint about something at p in f.
func (f *File) Errorf(p Pos, format string, a ...any) *Error {
	return &Error{File: f.Name, Line: p.Line, Msg: fmt.Sprintf(format, a...)}
}

// Option returns the value of that key.
func (v *Volume) Option(key string) (value string, ok bool) {
	for i := range v.Options {
		if v.Options[i].Key == key {
			return v.Options[i].Value, true
		}
	}
	return "", false
}

// Leaves returns the volumes without children below the top, depth first, in
// the order of the subvolumes lines: the order by which bricks are numbered.
// A leaf that several volumes share is listed once.
func (f *File) Leaves() []*Volume {
	var leaves []*Volume
	f.walk(func(v *Volume, _ int, again bool) {
		if len(v.Subvolumes) == 0 && !again {
			leaves = append(leaves, v)
		}
	})
	return leaves
}

// walk visits the volumes below the top, depth first, parents first. A volume
// that several share is visited for each of them, with again set and without
// its children after the first time.
func (f *File) walk(visit func(v *Volume, depth int, again bool)) {
	top := f.Top()
	if top == nil {
		return
	}
	seen := map[*Volume]bool{}
	// A stack of its own: a hostile volfile may be a chain of a million.
	type item struct {
		v     *Volume
		depth int
	}
	stack := []item{{top, 0}}
	for len(stack) > 0 {
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		again := seen[it.v]
		visit(it.v, it.depth, again)
		if again {
			continue
		}
		seen[it.v] = true
		for i := len(it.v.Subvolumes) - 1; i >= 0; i-- {
			if c := f.Lookup(it.v.Subvolumes[i]); c != nil {
				stack = append(stack, item{c, it.depth + 1})
			}
		}
	}
}
