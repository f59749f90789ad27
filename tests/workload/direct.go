package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	directSize  = 2 << 20
	directAlign = 4096
)

// direct mixes O_DIRECT with buffered reads and writes of one file.
func direct(w *worker) error {
	s := &shadow{w: w, path: w.path("direct")}
	buf, free, err := aligned(directSize)
	if err != nil {
		return err
	}
	defer free()
	if s.fd, err = w.open(s.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err != nil {
		return err
	}
	defer func() { s.fd.drop() }()
	d, err := w.open(s.path, unix.O_RDWR|unix.O_DIRECT)
	if err != nil {
		return err
	}
	defer d.drop()
	s.put(0, directSize)
	if err := s.fd.pwrite(s.data, 0); err != nil {
		return err
	}
	w.begin()
	for w.running() {
		if err := s.directStep(d, buf); err != nil {
			return err
		}
	}
	return s.verify()
}

// aligned is memory as O_DIRECT wants it.
func aligned(n int) (b []byte, free func(), err error) {
	if b, err = unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, nil, fmt.Errorf("an aligned buffer: %w", err)
	}
	return b, func() { _ = unix.Munmap(b) }, nil // it is a mapping
}

func (s *shadow) directStep(d *file, buf []byte) error {
	off := s.w.rng.IntN(directSize/directAlign) * directAlign
	n := min((1+s.w.rng.IntN(60))*directAlign, directSize-off)
	switch k := s.w.rng.IntN(100); {
	case k < 30:
		s.put(int64(off), n)
		copy(buf[:n], s.data[off:])
		return d.pwrite(buf[:n], int64(off))
	case k < 60:
		if err := d.pread(buf[:n], int64(off)); err != nil {
			return err
		}
		return same("direct read", buf[:n], s.data[off:off+n], int64(off))
	case k < 75: // of any size and place
		at := off + s.w.rng.IntN(directAlign)
		n = min(n, directSize-at)
		s.put(int64(at), n)
		return s.fd.pwrite(s.data[at:at+n], int64(at))
	case k < 95:
		return s.readChunk()
	case k < 98:
		return s.fd.fsync()
	}
	return s.verify()
}
