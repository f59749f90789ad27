package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	mapSize = 1 << 20
	mapPage = 4096
)

// mapping is a file that is changed through a shared map and read through a
// second map, through another descriptor, and by name.
type mapping struct {
	w      *worker
	path   string
	rw, ro *file
	out    []byte // shared, written
	in     []byte // shared, read only, through the other descriptor
	want   []byte
	seq    uint64
}

func mapper(w *worker) (err error) {
	m := &mapping{w: w, path: w.path("mapped"), want: make([]byte, mapSize)}
	if m.rw, err = w.open(m.path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL); err != nil {
		return err
	}
	defer func() { m.rw.drop(); m.ro.drop() }()
	if err := m.rw.truncate(mapSize); err != nil {
		return err
	}
	if m.ro, err = w.open(m.path, unix.O_RDONLY); err != nil {
		return err
	}
	if err := m.mapBoth(); err != nil {
		return err
	}
	defer m.unmapBoth()
	w.begin()
	for w.running() {
		if err := m.step(); err != nil {
			return err
		}
	}
	return m.verify()
}

func (m *mapping) mapBoth() (err error) {
	if m.out, err = unix.Mmap(m.rw.fd, 0, mapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map %s shared for writing: %w", m.rw.name, err)
	}
	if m.in, err = unix.Mmap(m.ro.fd, 0, mapSize, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map %s shared for reading: %w", m.ro.name, err)
	}
	return nil
}

func (m *mapping) unmapBoth() {
	for _, b := range []*[]byte{&m.out, &m.in} {
		if *b != nil {
			unix.Munmap(*b)
			*b = nil
		}
	}
}

func (m *mapping) step() error {
	off := m.w.rng.IntN(mapSize/mapPage) * mapPage
	n := min(1+m.w.rng.IntN(8*mapPage), mapSize-off)
	switch k := m.w.rng.IntN(100); {
	case k < 45: // through the map
		m.seq++
		fill(m.want[off:off+n], 0, int64(off), m.seq)
		return m.w.timed(func() error { copy(m.out[off:off+n], m.want[off:off+n]); return nil })
	case k < 60: // through a descriptor, seen in the maps
		m.seq++
		fill(m.want[off:off+n], 0, int64(off), m.seq)
		return m.rw.pwrite(m.want[off:off+n], int64(off))
	case k < 70:
		return m.sync(off, n)
	case k < 80:
		return m.w.timed(func() error { return same("second map", m.in[off:off+n], m.want[off:off+n], int64(off)) })
	case k < 97:
		b := make([]byte, n)
		if err := m.ro.pread(b, int64(off)); err != nil {
			return err
		}
		return same("pread beside a map", b, m.want[off:off+n], int64(off))
	case k < 99:
		return m.verify()
	}
	return m.remap()
}

func (m *mapping) sync(off, n int) error {
	end := min((off+n+mapPage-1)/mapPage*mapPage, mapSize)
	if err := m.w.timed(func() error { return unix.Msync(m.out[off:end], unix.MS_SYNC) }); err != nil {
		return fmt.Errorf("msync %s, %d bytes at %d: %w", m.rw.name, end-off, off, err)
	}
	return nil
}

// verify reads the file by name, cold, after everything was written out.
func (m *mapping) verify() error {
	if err := m.sync(0, mapSize); err != nil {
		return err
	}
	f, err := m.w.open(m.path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.drop()
	if err := f.cold(); err != nil {
		return err
	}
	got, err := f.readAll(func() int { return 1 + m.w.rng.IntN(300_000) })
	if err != nil {
		return err
	}
	if err := sameSum("mapped file by name", got, m.want); err != nil {
		return err
	}
	return f.close()
}

// remap maps anew through new descriptors. What is dirty stays dirty.
func (m *mapping) remap() (err error) {
	m.unmapBoth()
	if err := m.rw.close(); err != nil {
		return err
	}
	if m.rw, err = m.w.open(m.path, unix.O_RDWR); err != nil {
		return err
	}
	return m.mapBoth()
}
