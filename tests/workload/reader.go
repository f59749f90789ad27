package workload

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// reader verifies files that nobody changes.
func reader(w *worker) error {
	sizes := []int{0, 1, 4095, 4096, 4097, 65536, 131072, 1<<20 + 7, 3 << 20}
	want := make([][]byte, len(sizes))
	sums := make([][sha256.Size]byte, len(sizes))
	for i, n := range sizes {
		want[i] = noise(rng(w.cfg.Seed, uint64(1000+i)), n)
		sums[i] = sha256.Sum256(want[i])
		if err := w.static(w.path("static%d", i), want[i]); err != nil {
			return err
		}
	}
	kept := make([]*file, len(sizes)) // stay open for the whole run
	defer func() {
		for _, f := range kept {
			f.drop()
		}
	}()
	for i := range kept {
		var err error
		if kept[i], err = w.open(w.path("static%d", i), unix.O_RDONLY); err != nil {
			return err
		}
	}
	w.begin()
	for w.running() {
		i := w.rng.IntN(len(sizes))
		var err error
		switch n := w.rng.IntN(10); {
		case n < 6:
			err = w.readSome(kept[i], want[i])
		case n < 8:
			err = w.readWhole(kept[i], sums[i], sizes[i])
		default:
			err = w.readByName(i, sums[i], sizes[i])
		}
		if err != nil {
			return err
		}
	}
	for i := range sizes {
		if err := w.readByName(i, sums[i], sizes[i]); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	return nil
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		x := r.Uint64()
		for j := i; j < min(i+8, n); j++ {
			b[j] = byte(x)
			x >>= 8
		}
	}
	return b
}

func (w *worker) static(path string, data []byte) error {
	f, err := w.open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer f.drop()
	if len(data) > 0 {
		if err := f.write(data); err != nil {
			return err
		}
	}
	return f.close()
}

// readSome reads a random part. It begins cold now and then: what is in the
// kernel's cache asks nobody.
func (w *worker) readSome(f *file, want []byte) error {
	if w.rng.IntN(4) == 0 {
		if err := f.cold(); err != nil {
			return err
		}
	}
	off := w.rng.IntN(len(want) + 100)
	b := make([]byte, 1+w.rng.IntN(200_000))
	n, err := f.preadSome(b, int64(off))
	if err != nil {
		return err
	}
	part := want[min(off, len(want)):min(off+len(b), len(want))]
	return same(f.name, b[:n], part, int64(off))
}

func (f *file) cold() error {
	if err := f.w.timed(func() error { return unix.Fadvise(f.fd, 0, 0, unix.FADV_DONTNEED) }); err != nil {
		return fmt.Errorf("fadvise %s: %w", f.name, err)
	}
	return nil
}

func (w *worker) readWhole(f *file, sum [sha256.Size]byte, size int) error {
	if err := f.cold(); err != nil {
		return err
	}
	got, err := f.readAll(func() int { return 1 + w.rng.IntN(1<<20) })
	if err != nil {
		return err
	}
	if len(got) != size || sha256.Sum256(got) != sum {
		return fmt.Errorf("%s: %d bytes with another SHA-256 (want %d bytes)", f.name, len(got), size)
	}
	return nil
}

func (w *worker) readByName(i int, sum [sha256.Size]byte, size int) error {
	path := w.path("static%d", i)
	st, err := w.stat(path)
	if err != nil {
		return err
	}
	if st.Size != int64(size) || st.Nlink != 1 || st.Mode != unix.S_IFREG|0o644 {
		return fmt.Errorf("static%d: stat says size %d, links %d, mode %o", i, st.Size, st.Nlink, st.Mode)
	}
	f, err := w.open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.drop()
	if err := w.readWhole(f, sum, size); err != nil {
		return err
	}
	return f.close()
}
