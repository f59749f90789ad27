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
	for _, phase := range phases {
		t.Run(phase.String(), func(t *testing.T) {
			for _, c := range chapters {
				t.Run(c.name, func(t *testing.T) { fail(t, c.faults(t, phase, leaf, build)) })
			}
		})
	}
	t.Run("what is learned while settling is not used while serving", func(t *testing.T) {
		fail(t, leaks(t, func() []string { return learnThenServe(t, leaf, build) }))
	})
}

var phases = []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseServing, xlator.PhaseDraining}

func fail(t testing.TB, faults []string) {
	t.Helper()
	for i, f := range faults {
		if i == 10 {
			t.Errorf("and %d more", len(faults)-i)
			return
		}
		t.Error(f)
	}
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
	{"reading in sequence", sequence},
	{"open without a name", nameless},
	{"attributes", attributes},
	{"extended attributes", xattrs},
	{"directories", directories},
	{"locks", lockRequests},
	{"writers at the same time", writers},
	{"changes below", below},
	{"at random 1", func(s *script) { atRandom(s, 1) }},
	{"at random 2", func(s *script) { atRandom(s, 2) }},
	{"at random 3", func(s *script) { atRandom(s, 3) }},
}

// faults plays the chapter without and with the translator and says what is
// wrong.
func (c chapter) faults(t testing.TB, phase xlator.PhaseName, leaf Leaf, build Build) []string {
	t.Helper()
	return leaks(t, func() []string {
		plain := play(t, phase, c, leaf, nil)
		faults := against(plain, play(t, phase, c, leaf, build))
		for _, f := range plain.faults {
			faults = append(faults, "the leaf alone: "+f)
		}
		return faults
	})
}

// against says what is wrong with a play, held against that of the leaf alone.
func against(plain, tested *script) []string {
	return append(compare(plain.lines, tested.lines), tested.faults...)
}

// play runs one chapter in a graph of its own.
func play(t testing.TB, phase xlator.PhaseName, c chapter, leaf Leaf, build Build) *script {
	t.Helper()
	dir := t.TempDir()
	w := NewWorld(t, nil)
	w.Phase.Set(phase)
	s := &script{phase: phase, salt: defaultSalt}
	s.bottom = leaf(w, dir)
	s.top = s.bottom
	if build != nil {
		s.top = build(w, s.bottom)
	}
	w.Start()
	if s.root = w.Root(s.top); w.Salt != 0 {
		s.salt = w.Salt
	}
	c.play(s)
	s.releaseAll()
	w.Drain()
	w.Stop()
	s.lines = append(s.lines, onDisk(t, dir)...)
	return s
}

// line is one operation and what became of it.
type line struct {
	what string
	must string // has to be equal
	attr string // has to be equal where both have it
}

func compare(plain, tested []line) []string {
	var faults []string
	for i := range min(len(plain), len(tested)) {
		p, x := plain[i], tested[i]
		if p.what != x.what || p.must != x.must || p.attr != "" && x.attr != "" && p.attr != x.attr {
			faults = append(faults, fmt.Sprintf("%s:\nthe leaf alone:      %s %s\nwith the translator: %s: %s %s", p.what, p.must, p.attr, x.what, x.must, x.attr))
		}
	}
	if len(plain) != len(tested) {
		faults = append(faults, fmt.Sprintf("%d operations with the translator, %d without", len(tested), len(plain)))
	}
	return faults
}

// onDisk describes the folder that the leaf keeps its files in.
func onDisk(t testing.TB, dir string) []line {
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
func NoLeaks(t testing.TB, f func()) {
	t.Helper()
	fail(t, leaks(t, func() []string { f(); return nil }))
}

// patience is how long what has been told to stop may take.
const patience = 5 * time.Second

// leaks runs f and adds what it leaves behind to what it says.
func leaks(t testing.TB, f func() []string) []string {
	t.Helper()
	before, open := goroutines(), descriptors(t)
	faults := f()
	for end := time.Now().Add(patience); ; runtime.GC() {
		left := append(more(goroutines(), before), more(descriptors(t), open)...)
		if len(left) == 0 {
			return faults
		}
		if time.Now().After(end) {
			return append(faults, "left behind:\n"+strings.Join(left, "\n"))
		}
	}
}

// goroutines returns the stacks of the goroutines by number. Those of packages
// runtime and testing come and go by themselves and are left out.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	m := map[string]string{}
	for i, g := range strings.Split(string(buf), "\n\n") {
		number, stack, _ := strings.Cut(g, " [")
		if i == 0 || strings.Contains(g, "created by testing.") || strings.Contains(g, "created by runtime.") ||
			strings.Contains(g, "main.main()") || strings.Contains(g, "]:\nruntime.") {
			continue
		}
		m[number] = number + " [" + stack
	}
	return m
}

// descriptors returns what the open descriptors are of, by number.
func descriptors(t testing.TB) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasSuffix(to, "/fd") && !strings.Contains(to, "eventpoll") && !strings.Contains(to, "[eventfd]") {
			m[e.Name()+to] = "descriptor " + e.Name() + " of " + to
		}
	}
	return m
}

func more(after, before map[string]string) []string {
	var left []string
	for k, what := range after {
		if _, ok := before[k]; !ok {
			left = append(left, what)
		}
	}
	sort.Strings(left)
	return left
}
