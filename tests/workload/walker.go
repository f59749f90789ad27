package workload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The walker lists a directory whose static entries must appear exactly once
// each, while its partner adds and removes others.

const walkEntries = 2000

type dirent struct {
	name string
	ino  uint64
	off  int64
	typ  byte
}

func walker(w *worker) error {
	n := w.cfg.N
	if n == 0 {
		n = walkEntries
	}
	for i := range n {
		f, err := w.open(staticName(w, i), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
		if err != nil {
			return err
		}
		if err := f.close(); err != nil {
			return err
		}
	}
	p, err := w.startPartner()
	if err != nil {
		return err
	}
	defer p.kill()
	w.begin()
	var walks int64
	for w.running() {
		if err := w.walk(n); err != nil {
			return err
		}
		walks++
		w.set("walks", walks)
	}
	if _, err := p.stop(w); err != nil {
		return err
	}
	return w.walk(n)
}

func staticName(w *worker, i int) string {
	return w.path("static-%05d-%s", i, strings.Repeat("x", i%40))
}

// walk lists once, in steps of random size, and goes back to a remembered
// place or to the beginning now and then.
func (w *worker) walk(n int) error {
	f, err := w.open(w.dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.drop()
	seen := map[string]int{}
	place, atPlace := int64(-1), map[string]int{}
	for {
		ents, err := f.readdir(256 + w.rng.IntN(32<<10))
		if err != nil {
			return err
		}
		if len(ents) == 0 {
			break
		}
		for _, e := range ents {
			seen[e.name]++
		}
		if err := w.sample(ents[w.rng.IntN(len(ents))]); err != nil {
			return err
		}
		switch w.rng.IntN(50) {
		case 0:
			place, atPlace = ents[len(ents)-1].off, clone(seen)
		case 1:
			if place >= 0 {
				if err := f.seek(place); err != nil {
					return err
				}
				seen, place = clone(atPlace), -1
			}
		case 2:
			if w.rng.IntN(4) == 0 {
				if err := f.seek(0); err != nil {
					return err
				}
				seen, place = map[string]int{}, -1
			}
		}
	}
	if err := f.close(); err != nil {
		return err
	}
	return check(w, seen, n)
}

func clone(m map[string]int) map[string]int {
	c := make(map[string]int, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func check(w *worker, seen map[string]int, n int) error {
	static := 0
	for name, times := range seen {
		if strings.HasPrefix(name, "static-") || name == "." || name == ".." {
			static++
			if times != 1 {
				return fmt.Errorf("listing shows %s %d times", name, times)
			}
		} else if !strings.HasPrefix(name, "churn-") {
			return fmt.Errorf("listing shows %q, which nobody made", name)
		}
	}
	if static == n+2 {
		return nil
	}
	for i := range n {
		name := strings.TrimPrefix(staticName(w, i), w.dir+"/")
		if seen[name] == 0 {
			return fmt.Errorf("listing shows %d of %d entries, %s is missing", static-2, n, name)
		}
	}
	return fmt.Errorf("listing shows %d static entries, . and .. among them, want %d", static, n+2)
}

// sample compares one entry with what stat says of it.
func (w *worker) sample(e dirent) error {
	if !strings.HasPrefix(e.name, "static-") {
		return nil
	}
	st, err := w.stat(w.path("%s", e.name))
	if err != nil {
		return err
	}
	if st.Ino != e.ino || e.typ != unix.DT_REG {
		return fmt.Errorf("%s: listed with inode %d and type %d, stat says inode %d", e.name, e.ino, e.typ, st.Ino)
	}
	return nil
}

func (f *file) seek(off int64) error {
	var got int64
	err := f.w.timed(func() (err error) {
		got, err = unix.Seek(f.fd, off, unix.SEEK_SET)
		return
	})
	if err != nil || got != off {
		return fmt.Errorf("seek in directory %s to %d: got %d, %w", f.name, off, got, err)
	}
	return nil
}

// readdir is one getdents64 call.
func (f *file) readdir(size int) ([]dirent, error) {
	b := make([]byte, max(size, 512))
	var n int
	err := f.w.timed(func() (err error) {
		n, err = unix.Getdents(f.fd, b)
		return
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.name, err)
	}
	return parseDirents(b[:n])
}

func parseDirents(b []byte) ([]dirent, error) {
	var ents []dirent
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < 19 {
			return nil, fmt.Errorf("directory entry of %d bytes", len(b))
		}
		n := int(le.Uint16(b[16:]))
		if n < 19 || n > len(b) {
			return nil, fmt.Errorf("directory entry says %d bytes, there are %d", n, len(b))
		}
		name, _, _ := bytes.Cut(b[19:n], []byte{0})
		ents = append(ents, dirent{name: string(name), ino: le.Uint64(b), off: int64(le.Uint64(b[8:])), typ: b[18]})
		b = b[n:]
	}
	return ents, nil
}

func walkerPartner(w *worker) error {
	const most = 300
	var there []string
	w.begin()
	for i := 0; w.running(); i++ {
		if len(there) < most && w.rng.IntN(2) == 0 {
			name := w.path("churn-%d-%s", i, strings.Repeat("y", w.rng.IntN(100)))
			f, err := w.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
			if err != nil {
				return err
			}
			if err := f.close(); err != nil {
				return err
			}
			there = append(there, name)
		} else if len(there) > 0 {
			k := w.rng.IntN(len(there))
			if err := w.unlink(there[k]); err != nil {
				return err
			}
			there = append(there[:k], there[k+1:]...)
		}
	}
	for _, name := range there {
		if err := w.unlink(name); err != nil {
			return err
		}
	}
	return nil
}
