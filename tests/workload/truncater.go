package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const truncSize = 2 << 20

// truncater changes a file's size and its holes, and compares with a model.
func truncater(w *worker) error {
	s := &shadow{w: w, path: w.path("sparse")}
	var err error
	if s.fd, err = w.open(s.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err != nil {
		return err
	}
	defer func() { s.fd.drop() }()
	w.begin()
	for w.running() {
		if err := s.sparseStep(); err != nil {
			return err
		}
	}
	return s.verify()
}

func (s *shadow) sparseStep() error {
	off := s.w.rng.IntN(truncSize)
	n := 1 + s.w.rng.IntN(truncSize-off)
	switch k := s.w.rng.IntN(100); {
	case k < 25:
		n = min(n, 100_000)
		s.put(int64(off), n)
		return s.fd.pwrite(s.data[off:off+n], int64(off))
	case k < 40:
		s.resize(off)
		return s.fd.truncate(int64(off))
	case k < 48:
		s.resize(max(len(s.data), off+n))
		return s.allocate(0, off, n)
	case k < 54:
		return s.allocate(unix.FALLOC_FL_KEEP_SIZE, off, n)
	case k < 64:
		s.zero(off, n)
		return s.allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	case k < 70:
		s.resize(max(len(s.data), off+n))
		s.zero(off, n)
		return s.allocate(unix.FALLOC_FL_ZERO_RANGE, off, n)
	case k < 74:
		s.zero(off, n)
		return s.allocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	case k < 84:
		return s.readChunk()
	case k < 92:
		return s.holes()
	case k < 96:
		return s.byNameSize()
	}
	return s.verify()
}

func (s *shadow) resize(n int) {
	if n <= len(s.data) {
		s.data = s.data[:n:n]
		return
	}
	s.data = append(s.data, make([]byte, n-len(s.data))...)
}

func (s *shadow) zero(off, n int) {
	if off < len(s.data) {
		clear(s.data[off:min(off+n, len(s.data))])
	}
}

func (s *shadow) allocate(mode uint32, off, n int) error {
	err := s.w.timed(func() error { return unix.Fallocate(s.fd.fd, mode, int64(off), int64(n)) })
	if err != nil {
		return fmt.Errorf("fallocate mode %#x, %d bytes at %d: %w", mode, n, off, err)
	}
	return nil
}

// byNameSize truncates by the name, past every descriptor.
func (s *shadow) byNameSize() error {
	n := s.w.rng.IntN(truncSize)
	s.resize(n)
	if err := s.w.timed(func() error { return unix.Truncate(s.path, int64(n)) }); err != nil {
		return fmt.Errorf("truncate by name to %d: %w", n, err)
	}
	st, err := s.fd.stat()
	if err == nil && st.Size != int64(n) {
		err = fmt.Errorf("fstat says %d after a truncate to %d by name", st.Size, n)
	}
	return err
}

// holes walks over data and holes: what is said to be a hole must be zeros.
func (s *shadow) holes() error {
	size := int64(len(s.data))
	for at := int64(0); at < size; {
		data, err := s.lseek(at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			data = size
		} else if err != nil {
			return fmt.Errorf("seek data from %d: %w", at, err)
		}
		if data < at || data > size {
			return fmt.Errorf("seek data from %d of %d: %d", at, size, data)
		}
		for i := at; i < data; i++ {
			if s.data[i] != 0 {
				return fmt.Errorf("seek data from %d: a hole up to %d, but there is data at %d", at, data, i)
			}
		}
		if data == size {
			break
		}
		if at, err = s.lseek(data, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("seek hole from %d: %w", data, err)
		}
		if at <= data || at > size {
			return fmt.Errorf("seek hole from %d of %d: %d", data, size, at)
		}
	}
	if _, err := s.lseek(size+1, unix.SEEK_DATA); err != unix.ENXIO {
		return fmt.Errorf("seek data behind the end: %v, want ENXIO", err)
	}
	return nil
}

func (s *shadow) lseek(off int64, whence int) (at int64, err error) {
	err = s.w.timed(func() (err error) { at, err = unix.Seek(s.fd.fd, off, whence); return })
	return at, err
}
