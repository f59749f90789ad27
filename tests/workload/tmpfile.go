package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const tmpSize = 300_000

// tmpfile keeps files open that have no name, and checks for a long time that
// they hold their data; others get their name last.
func tmpfile(w *worker) error {
	files := make([]*shadow, 8)
	defer func() {
		for _, s := range files {
			if s != nil {
				s.fd.drop()
			}
		}
	}()
	for i := range files {
		var err error
		if files[i], err = w.nameless(i); err != nil {
			return err
		}
	}
	w.begin()
	for w.running() {
		i := w.rng.IntN(len(files))
		s := files[i]
		var err error
		switch n := w.rng.IntN(200); {
		case n < 80:
			err = s.writeTmp()
		case n < 150:
			err = s.readChunk()
		case n < 170:
			err = s.verifyNameless()
		case n < 185:
			err = w.nameLast(i)
		case n < 199:
			err = s.fd.fsync()
		case i < 4: // the others stay for the whole run
			if err = s.verifyNameless(); err == nil {
				err = s.fd.close()
			}
			if err == nil {
				files[i], err = w.nameless(i)
			}
		}
		if err != nil {
			return err
		}
	}
	for _, s := range files {
		if err := s.verifyNameless(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	return nil
}

// nameless makes a file by unlink, or without a name from the start.
func (w *worker) nameless(i int) (*shadow, error) {
	s := &shadow{w: w, id: uint32(i), path: w.path("tmp%d", i)}
	var err error
	if i%2 == 0 {
		if s.fd, err = w.open(s.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err == nil {
			err = w.unlink(s.path)
		}
	} else {
		s.fd, err = w.open(w.dir, unix.O_RDWR|unix.O_TMPFILE)
	}
	if err != nil {
		s.fd.drop()
		return nil, err
	}
	return s, s.writeTmp()
}

func (s *shadow) writeTmp() error {
	off := s.w.rng.IntN(tmpSize)
	n := 1 + s.w.rng.IntN(min(50_000, tmpSize-off))
	s.put(int64(off), n)
	return s.fd.pwrite(s.data[off:off+n], int64(off))
}

func (s *shadow) verifyNameless() error {
	st, err := s.fd.stat()
	if err != nil {
		return err
	}
	if st.Nlink != 0 || st.Size != int64(len(s.data)) {
		return fmt.Errorf("%s without a name: %d links, %d bytes, want 0 and %d", s.fd.name, st.Nlink, st.Size, len(s.data))
	}
	got, err := s.fd.readAll(s.size)
	if err != nil {
		return err
	}
	return sameSum(s.fd.name+" without a name", got, s.data)
}

// nameLast writes a file and links it to its name when it is whole.
func (w *worker) nameLast(i int) error {
	path := w.path("late%d", i)
	f, err := w.open(w.dir, unix.O_WRONLY|unix.O_TMPFILE)
	if err != nil {
		return err
	}
	defer f.drop()
	data := noise(w.rng, 1+w.rng.IntN(20_000))
	if err := f.write(data); err != nil {
		return err
	}
	proc := fmt.Sprintf("/proc/self/fd/%d", f.fd)
	if err := w.timed(func() error { return unix.Linkat(unix.AT_FDCWD, proc, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW) }); err != nil {
		return fmt.Errorf("link a file without a name to %s: %w", path, err)
	}
	if err := f.close(); err != nil {
		return err
	}
	if err := w.nlink(path, 1); err != nil {
		return err
	}
	if err := w.content(path, data); err != nil {
		return err
	}
	return w.unlink(path)
}
