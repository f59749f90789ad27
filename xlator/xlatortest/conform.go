package xlatortest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Leaf makes the bottom of a graph over the folder dir.
type Leaf func(w *World, dir string) xlator.Fops

// Build puts the translator under test above leaf and returns the top.
type Build func(w *World, leaf xlator.Fops) xlator.Fops

// LeafOf is a Leaf of storage/posix (or a type with an option "directory") and,
// from below, others above it, with their defaults.
func LeafOf(posix *xlator.Type, above ...*xlator.Type) Leaf {
	return func(w *World, dir string) xlator.Fops {
		x := w.Add(posix, map[string]string{"directory": dir})
		for _, typ := range above {
			x = w.Add(typ, nil, x)
		}
		return x
	}
}

// Above is a Build of one translator with these options.
func Above(typ *xlator.Type, opts map[string]string) Build {
	return func(w *World, leaf xlator.Fops) xlator.Fops { return w.Add(typ, opts, leaf) }
}

// Conform runs a fixed script of operations on the leaf alone and through the
// translator under test, in each phase of a graph's life. It demands that
//
//   - every reply says the same, where it says something: attributes may be left
//     out, as [xlator.Fops] allows;
//   - attributes asked for are those that the leaf has at that moment;
//   - while the graph is transparent, each write is with the leaf when it returns
//     and what changes below is seen at once, also by who looked before;
//   - the folder underneath is the same at the end;
//   - no goroutine and no descriptor is left when the graph has stopped.
func Conform(t *testing.T, leaf Leaf, build Build) {
	t.Helper()
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseServing, xlator.PhaseDraining} {
		t.Run(phase.String(), func(t *testing.T) {
			for _, c := range chapters {
				t.Run(c.name, func(t *testing.T) {
					NoLeaks(t, func() {
						plain := play(t, phase, c, leaf, nil)
						tested := play(t, phase, c, leaf, build)
						compare(t, plain, tested)
					})
				})
			}
		})
	}
	t.Run("what is learned while settling is not used while serving", func(t *testing.T) {
		NoLeaks(t, func() { learnThenServe(t, leaf, build) })
	})
}

// chapter is a part of the script, played in a folder of its own.
type chapter struct {
	name string
	play func(*script)
}

var chapters = []chapter{
	{"names", names},
	{"renames", renames},
	{"data", data},
	{"sizes and holes", sizes},
	{"open without a name", nameless},
	{"attributes", attributes},
	{"extended attributes", xattrs},
	{"directories", directories},
	{"locks", locks},
	{"writers at the same time", writers},
	{"changes below", below},
}

// play runs one chapter and returns what it recorded.
func play(t *testing.T, phase xlator.PhaseName, c chapter, leaf Leaf, build Build) []line {
	t.Helper()
	dir := t.TempDir()
	w := NewWorld(t, nil)
	w.Phase.Set(phase)
	s := &script{t: t, phase: phase, w: w}
	s.bottom = leaf(w, dir)
	s.top = s.bottom
	if build != nil {
		s.top = build(w, s.bottom)
	}
	w.Start()
	s.root = w.Root(s.top)
	c.play(s)
	s.releaseAll()
	w.Drain()
	w.Stop()
	s.lines = append(s.lines, onDisk(t, dir)...)
	return s.lines
}

// line is one operation and what became of it.
type line struct {
	what string
	must string // has to be equal
	attr string // has to be equal where both have it
}

func compare(t *testing.T, plain, tested []line) {
	t.Helper()
	for i := range min(len(plain), len(tested)) {
		p, x := plain[i], tested[i]
		if p.what != x.what || p.must != x.must || p.attr != "" && x.attr != "" && p.attr != x.attr {
			t.Errorf("%s:\nthe leaf alone:    %s %s\nwith the translator: %s: %s %s", p.what, p.must, p.attr, x.what, x.must, x.attr)
		}
	}
	if len(plain) != len(tested) {
		t.Errorf("%d operations with the translator, %d without", len(tested), len(plain))
	}
}

// onDisk describes the folder that the leaf keeps its files in.
func onDisk(t *testing.T, dir string) []line {
	t.Helper()
	var out []line
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".glusterfs" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		must := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			must += fmt.Sprintf(" %d bytes %s", len(data), digest(data))
		}
		out = append(out, line{what: "on disk: " + strings.TrimPrefix(path, dir), must: must})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// NoLeaks runs f and fails when goroutines or descriptors are left soon after.
// Nothing else may run in the process meanwhile.
func NoLeaks(t *testing.T, f func()) {
	t.Helper()
	before, open := goroutines(), descriptors(t)
	f()
	var left []string
	for end := time.Now().Add(10 * time.Second); ; runtime.GC() {
		left = append(more(goroutines(), before), more(descriptors(t), open)...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
			return
		}
	}
}

// goroutines counts the goroutines by their stack, without arguments.
func goroutines() map[string]int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	m := map[string]int{}
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i == 0 {
			continue // this one
		}
		var b strings.Builder
		for _, l := range strings.Split(g, "\n")[1:] {
			if strings.HasPrefix(l, "\t") {
				continue
			}
			if j := strings.LastIndex(l, "("); j > 0 && !strings.HasPrefix(l, "created by") {
				l = l[:j]
			}
			l, _, _ = strings.Cut(l, " in goroutine ")
			b.WriteString(l + "\n")
		}
		// The cleanups of package runtime come and go by themselves.
		if s := b.String(); !strings.HasPrefix(s, "runtime.") {
			m[s]++
		}
	}
	return m
}

func descriptors(t *testing.T) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]int{}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasSuffix(to, "/fd") {
			m["descriptor of "+to]++
		}
	}
	return m
}

func more(after, before map[string]int) []string {
	var left []string
	for k, n := range after {
		if n > before[k] {
			left = append(left, fmt.Sprintf("%d more: %s", n-before[k], k))
		}
	}
	sort.Strings(left)
	return left
}
