package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const openCells = 8

// openfiles holds many files open, touches some now and then, and verifies
// each in the end.
func openfiles(w *worker) error {
	n := w.cfg.N
	if n == 0 {
		n = 1000
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n) + 100, Max: uint64(n) + 100}); err != nil {
		return fmt.Errorf("allow %d open files: %w", n, err)
	}
	files := make([]*shadow, 0, n)
	defer func() {
		for _, s := range files {
			s.fd.drop()
		}
	}()
	for i := range n {
		s, err := w.openOne(i)
		if err != nil {
			return err
		}
		files = append(files, s)
	}
	w.longest.Store(0)
	w.set("files", int64(n))
	w.begin()
	// As many as are touched in a second stay the same for any n: a pause must
	// not come from the touching itself.
	pace := newPace(w.ctx, 200)
	for pace.next() {
		if err := files[w.rng.IntN(n)].touch(); err != nil {
			return err
		}
	}
	for i, s := range files {
		if err := s.touch(); err != nil {
			return fmt.Errorf("file %d of %d at the end: %w", i, n, err)
		}
		if err := s.fd.close(); err != nil {
			return err
		}
		if i%3 == 1 {
			continue // has no name
		}
		if err := s.verify(); err != nil {
			return fmt.Errorf("file %d of %d by name: %w", i, n, err)
		}
	}
	return nil
}

// openOne makes one file; every third is unlinked.
func (w *worker) openOne(i int) (*shadow, error) {
	if i%1000 == 0 {
		if err := w.mkdir(w.path("d%d", i/1000)); err != nil {
			return nil, err
		}
	}
	s := &shadow{w: w, id: uint32(i), path: w.path("d%d/f%d", i/1000, i)}
	var err error
	if s.fd, err = w.open(s.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err != nil {
		return nil, err
	}
	s.put(0, openCells*cellSize)
	if err := s.fd.pwrite(s.data, 0); err != nil {
		return nil, err
	}
	if i%3 == 1 {
		return s, w.unlink(s.path)
	}
	return s, nil
}

// touch checks the whole file and changes one cell of it.
func (s *shadow) touch() error {
	b := make([]byte, len(s.data)+1)
	n, err := s.fd.preadSome(b, 0)
	if err != nil {
		return err
	}
	if err := same(s.fd.name, b[:n], s.data, 0); err != nil {
		return err
	}
	off := int64(s.w.rng.IntN(openCells)) * cellSize
	s.put(off, cellSize)
	return s.fd.pwrite(s.data[off:off+cellSize], off)
}
