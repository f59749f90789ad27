package workload

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// renamer changes names in every way, and races its partner for names made
// with O_EXCL, of which each has exactly one winner.
func renamer(w *worker) error {
	if err := w.mkdir(w.path("excl")); err != nil {
		return err
	}
	for _, name := range []string{"progress0", "progress1"} {
		if err := w.static(w.path("%s", name), make([]byte, 8)); err != nil {
			return err
		}
	}
	p, err := w.startPartner()
	if err != nil {
		return err
	}
	defer p.kill()
	w.begin()
	e, err := w.names(0)
	if err != nil {
		return err
	}
	r, err := p.stop(w)
	if err != nil {
		return err
	}
	got, want := e.won+r.Values["won"], max(e.next, r.Values["tried"])
	if got != want {
		return fmt.Errorf("%d names were made with O_EXCL, with %d winners", want, got)
	}
	w.set("exclusive", want)
	return nil
}

func renamerPartner(w *worker) error {
	w.begin()
	e, err := w.names(1)
	if e != nil {
		w.set("won", e.won)
		w.set("tried", e.next)
	}
	return err
}

// names runs the name changes of one process (0 or 1) in a folder of its own.
func (w *worker) names(side int) (*exclusive, error) {
	dir := w.path("side%d", side)
	if err := w.mkdir(dir); err != nil {
		return nil, err
	}
	e, err := w.openExclusive(side)
	if err != nil {
		return nil, err
	}
	defer e.drop()
	steps := []func(string) error{w.chain, w.replaceOpen, w.links, w.dirs, w.symlinks}
	for w.running() {
		if err := steps[w.rng.IntN(len(steps))](dir); err != nil {
			return e, err
		}
		for range 3 {
			if err := e.try(); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

// chain moves one file over several names, and into another directory.
func (w *worker) chain(dir string) error {
	sub := filepath.Join(dir, "sub")
	if err := w.mkdir(sub); err != nil {
		return err
	}
	data := noise(w.rng, 1+w.rng.IntN(5000))
	at := filepath.Join(dir, "link0")
	if err := w.static(at, data); err != nil {
		return err
	}
	first, err := w.stat(at)
	if err != nil {
		return err
	}
	for i := range 2 + w.rng.IntN(6) {
		to := filepath.Join([]string{dir, sub}[w.rng.IntN(2)], fmt.Sprintf("link%d", i+1))
		if err := w.rename(at, to); err != nil {
			return err
		}
		if err := w.absent(at); err != nil {
			return err
		}
		st, err := w.stat(to)
		if err != nil {
			return err
		}
		if st.Ino != first.Ino || st.Dev != first.Dev || st.Size != int64(len(data)) {
			return fmt.Errorf("%s: inode %d of %d bytes became inode %d of %d by a rename", at, first.Ino, len(data), st.Ino, st.Size)
		}
		at = to
	}
	if err := w.content(at, data); err != nil {
		return err
	}
	if err := w.unlink(at); err != nil {
		return err
	}
	return w.rmdir(sub)
}

func (w *worker) content(path string, want []byte) error {
	f, err := w.open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.drop()
	got, err := f.readAll(func() int { return len(want) + 1 })
	if err != nil {
		return err
	}
	if err := same(f.name, got, want, 0); err != nil {
		return err
	}
	return f.close()
}

// replaceOpen renames over a file that is open.
func (w *worker) replaceOpen(dir string) error {
	a, b := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	old, data := noise(w.rng, 3000), noise(w.rng, 2000)
	if err := w.static(a, old); err != nil {
		return err
	}
	f, err := w.open(a, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer f.drop()
	if err := w.static(b, data); err != nil {
		return err
	}
	if err := w.rename(b, a); err != nil {
		return err
	}
	st, err := f.stat()
	if err != nil {
		return err
	}
	if st.Nlink != 0 {
		return fmt.Errorf("%s: replaced, and has %d links", f.name, st.Nlink)
	}
	got := make([]byte, len(old))
	if err := f.pread(got, 0); err != nil {
		return err
	}
	if err := same(f.name+" (replaced)", got, old, 0); err != nil {
		return err
	}
	if err := f.pwrite(data, 0); err != nil { // goes nowhere
		return err
	}
	if err := f.close(); err != nil {
		return err
	}
	if err := w.content(a, data); err != nil {
		return err
	}
	return w.unlink(a)
}

func (w *worker) links(dir string) error {
	a := filepath.Join(dir, "a")
	data := noise(w.rng, 100)
	if err := w.static(a, data); err != nil {
		return err
	}
	var names []string
	for i := range 1 + w.rng.IntN(4) {
		name := filepath.Join(dir, fmt.Sprintf("a%d", i))
		if err := w.timed(func() error { return unix.Link(a, name) }); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		names = append(names, name)
		if err := w.nlink(name, i+2); err != nil {
			return err
		}
	}
	if err := w.unlink(a); err != nil {
		return err
	}
	for i, name := range names {
		if err := w.nlink(name, len(names)-i); err != nil {
			return err
		}
		if err := w.content(name, data); err != nil {
			return err
		}
		if err := w.unlink(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) nlink(path string, want int) error {
	st, err := w.stat(path)
	if err == nil && int(st.Nlink) != want {
		err = fmt.Errorf("%s has %d links, want %d", filepath.Base(path), st.Nlink, want)
	}
	return err
}

func (w *worker) dirs(dir string) error {
	a, b := filepath.Join(dir, "d"), filepath.Join(dir, "e")
	if err := w.mkdir(a); err != nil {
		return err
	}
	if err := w.static(filepath.Join(a, "f"), nil); err != nil {
		return err
	}
	if err := w.timed(func() error { return unix.Rmdir(a) }); err != unix.ENOTEMPTY {
		return fmt.Errorf("rmdir of a directory with a file: %v", err)
	}
	if err := w.mkdir(b); err != nil {
		return err
	}
	if err := w.rename(a, b); err != nil { // over an empty one
		return err
	}
	if err := w.absent(a); err != nil {
		return err
	}
	if err := w.unlink(filepath.Join(b, "f")); err != nil {
		return err
	}
	return w.rmdir(b)
}

func (w *worker) symlinks(dir string) error {
	path, target := filepath.Join(dir, "sym"), fmt.Sprintf("target-%d", w.rng.IntN(1e9))
	if err := w.timed(func() error { return unix.Symlink(target, path) }); err != nil {
		return fmt.Errorf("symlink: %w", err)
	}
	b := make([]byte, 200)
	var n int
	err := w.timed(func() (err error) { n, err = unix.Readlink(path, b); return })
	if err != nil || string(b[:n]) != target {
		return fmt.Errorf("readlink says %q, want %q (%v)", b[:max(n, 0)], target, err)
	}
	return w.unlink(path)
}

func (w *worker) mkdir(path string) error {
	if err := w.timed(func() error { return unix.Mkdir(path, 0o755) }); err != nil {
		return fmt.Errorf("mkdir %s: %w", filepath.Base(path), err)
	}
	return nil
}

func (w *worker) rmdir(path string) error {
	if err := w.timed(func() error { return unix.Rmdir(path) }); err != nil {
		return fmt.Errorf("rmdir %s: %w", filepath.Base(path), err)
	}
	return nil
}

// exclusive races for names. Each process tries all names in order and tells
// the other how far it is; a winner removes its name when both are past it.
type exclusive struct {
	w           *worker
	next, won   int64
	mine, other *file
	names       []int64 // won and not removed
}

func (w *worker) openExclusive(side int) (*exclusive, error) {
	e := &exclusive{w: w}
	var err error
	if e.mine, err = w.open(w.path("progress%d", side), unix.O_RDWR); err == nil {
		e.other, err = w.open(w.path("progress%d", 1-side), unix.O_RDONLY)
	}
	if err != nil {
		e.drop()
		return nil, err
	}
	return e, nil
}

func (e *exclusive) drop() { e.mine.drop(); e.other.drop() }

func (e *exclusive) try() error {
	b := make([]byte, 8)
	if err := e.other.pread(b, 0); err != nil {
		return err
	}
	other := int64(binary.LittleEndian.Uint64(b))
	// A lead is bounded, or names would pile up.
	if e.next > other+1000 {
		return nil
	}
	path := e.w.path("excl/%d", e.next)
	f, err := e.w.open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	switch {
	case err == nil:
		e.won++
		e.names = append(e.names, e.next)
		if err := f.close(); err != nil {
			return err
		}
	case !isErr(err, fs.ErrExist):
		return err
	}
	e.next++
	binary.LittleEndian.PutUint64(b, uint64(e.next))
	if err := e.mine.pwrite(b, 0); err != nil {
		return err
	}
	for len(e.names) > 0 && e.names[0] < min(other, e.next) {
		if err := e.w.unlink(e.w.path("excl/%d", e.names[0])); err != nil {
			return err
		}
		e.names = e.names[1:]
	}
	return nil
}
