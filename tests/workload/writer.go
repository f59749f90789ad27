package workload

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	writerFiles = 4
	writerSize  = 4 << 20
	writerChunk = 600_000
)

// shadow is a file together with what must be in it.
type shadow struct {
	w    *worker
	id   uint32
	path string
	fd   *file
	seq  uint64
	data []byte
}

// writer writes, reads back, replaces and verifies a handful of files.
func writer(w *worker) error {
	files := make([]*shadow, writerFiles)
	defer func() {
		for _, s := range files {
			if s != nil {
				s.fd.drop()
			}
		}
	}()
	for i := range files {
		s := &shadow{w: w, id: uint32(w.cfg.ID*writerFiles + i), path: w.path("file%d", i)}
		var err error
		if s.fd, err = w.open(s.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err != nil {
			return err
		}
		files[i] = s
	}
	w.begin()
	for w.running() {
		if err := files[w.rng.IntN(len(files))].step(); err != nil {
			return err
		}
	}
	for _, s := range files {
		if err := s.verify(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		if err := s.fd.close(); err != nil {
			return err
		}
		if err := s.verify(); err != nil {
			return fmt.Errorf("after close: %w", err)
		}
	}
	return nil
}

func (s *shadow) step() error {
	switch n := s.w.rng.IntN(100); {
	case n < 60:
		return s.writeChunk()
	case n < 85:
		return s.readChunk()
	case n < 90:
		return s.fd.fsync()
	case n < 94:
		return s.verify()
	case n < 97:
		return s.replace()
	case n < 98:
		return s.shorten()
	}
	return s.reopen()
}

func (s *shadow) size() int { return 1 + s.w.rng.IntN(writerChunk) }

func (s *shadow) writeChunk() error {
	off := s.w.rng.IntN(writerSize)
	if len(s.data) < writerSize && s.w.rng.IntN(2) == 0 {
		off = len(s.data)
	}
	n := min(s.size(), writerSize-off)
	if s.w.rng.IntN(3) == 0 {
		n = min(n, 4096)
	}
	if n <= 0 {
		return nil
	}
	s.put(int64(off), n)
	return s.fd.pwrite(s.data[off:off+n], int64(off))
}

// put changes what must be there.
func (s *shadow) put(off int64, n int) {
	s.seq++
	if end := int(off) + n; end > len(s.data) {
		s.data = append(s.data, make([]byte, end-len(s.data))...)
	}
	fill(s.data[off:int(off)+n], s.id, off, s.seq)
}

func (s *shadow) readChunk() error {
	if len(s.data) == 0 {
		return nil
	}
	off := s.w.rng.IntN(len(s.data))
	want := s.data[off:min(off+s.size(), len(s.data))]
	got := make([]byte, len(want))
	if err := s.fd.pread(got, int64(off)); err != nil {
		return err
	}
	return same(filepath.Base(s.path), got, want, int64(off))
}

// verify reads the whole file by its name, and asks for its size both ways.
func (s *shadow) verify() error {
	st, err := s.w.stat(s.path)
	if err != nil {
		return err
	}
	if st.Size != int64(len(s.data)) {
		return fmt.Errorf("%s: stat says %d bytes, want %d", filepath.Base(s.path), st.Size, len(s.data))
	}
	f, err := s.w.open(s.path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.drop()
	got, err := f.readAll(s.size)
	if err != nil {
		return err
	}
	if err := sameSum(filepath.Base(s.path), got, s.data); err != nil {
		return err
	}
	return f.close()
}

// readAll reads to the end in steps of random size.
func (f *file) readAll(step func() int) ([]byte, error) {
	var got []byte
	for {
		b := make([]byte, step())
		n, err := f.preadSome(b, int64(len(got)))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return got, nil
		}
		got = append(got, b[:n]...)
	}
}

// replace writes a new file and renames it over the old one, which must stay
// as it is for who has it open.
func (s *shadow) replace() error {
	old, data := s.fd, append([]byte(nil), s.data...)
	defer old.drop()
	tmp := s.path + ".new"
	f, err := s.w.open(tmp, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		s.fd = nil
		return err
	}
	s.fd, s.data = f, nil
	for range 1 + s.w.rng.IntN(4) {
		if err := s.writeChunk(); err != nil {
			return err
		}
	}
	if s.w.rng.IntN(2) == 0 {
		if err := f.fsync(); err != nil {
			return err
		}
	}
	if err := s.w.rename(tmp, s.path); err != nil {
		return err
	}
	if err := s.w.absent(tmp); err != nil {
		return err
	}
	got, err := old.readAll(s.size)
	if err != nil {
		return fmt.Errorf("read what was replaced: %w", err)
	}
	if err := sameSum(old.name+" (replaced, still open)", got, data); err != nil {
		return err
	}
	if err := old.close(); err != nil {
		return err
	}
	return s.verify()
}

func (s *shadow) shorten() error {
	n := s.w.rng.IntN(len(s.data) + 1)
	s.data = s.data[:n:n]
	return s.fd.truncate(int64(n))
}

func (s *shadow) reopen() error {
	if err := s.fd.close(); err != nil {
		return err
	}
	f, err := s.w.open(s.path, unix.O_RDWR)
	if err != nil {
		return err
	}
	s.fd = f
	return nil
}
