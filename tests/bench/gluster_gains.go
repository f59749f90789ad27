package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
)

const (
	gainRounds = 3
	gainFiles  = 200
	gainPasses = 10 // over the files; each is shorter than what is cached is good for
	gainSize   = 32 << 20
	gainPiece  = 4096
)

// gains are the performance translators with what each is there for; do is one
// pass over a prepared folder, and returns how many operations that were.
var gains = []struct {
	translator, option, what string
	do                       func(dir string) (int, error)
}{
	{"write-behind", "performance.write-behind", "4 KiB writes, in sequence", func(dir string) (int, error) {
		f, err := os.Create(filepath.Join(dir, "written"))
		const n = gainPasses * gainFiles
		for i := 0; i < n && err == nil; i++ {
			_, err = f.WriteAt(make([]byte, gainPiece), int64(i*gainPiece))
		}
		return n, errors.Join(err, f.Close())
	}},
	{"md-cache", "performance.stat-prefetch", "stat", again(func(p string) error { _, err := os.Lstat(p); return err })},
	{"quick-read", "performance.quick-read", "whole files of 4 KiB", again(func(p string) error { _, err := os.ReadFile(p); return err })},
	{"open-behind", "performance.open-behind", "open and close", again(func(p string) error {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		return f.Close()
	})},
	{"io-cache", "performance.io-cache", "4 KiB reads, again and again", func(dir string) (int, error) { return readAll(dir, gainPiece, 8<<20) }},
	{"read-ahead", "performance.read-ahead", "128 KiB reads, in sequence", func(dir string) (int, error) { return readAll(dir, 128<<10, gainSize) }},
	{"readdir-ahead", "performance.readdir-ahead", "names of a folder", func(dir string) (int, error) {
		n := 0
		for range gainPasses {
			es, err := os.ReadDir(filepath.Join(dir, "files"))
			if err != nil {
				return 0, err
			}
			n += len(es)
		}
		return n, nil
	}},
	{"nl-cache", "performance.nl-cache", "stat of names that are not there", again(func(p string) error {
		if _, err := os.Lstat(p + ".absent"); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s.absent: %v", p, err)
		}
		return nil
	})},
}

// again goes over the files again and again.
func again(op func(path string) error) func(dir string) (int, error) {
	return func(dir string) (int, error) {
		for range gainPasses {
			if err := each(func(p string, _ int) error { return op(p) })(filepath.Join(dir, "files"), gainFiles); err != nil {
				return 0, err
			}
		}
		return gainPasses * gainFiles, nil
	}
}

// readAll reads the first bytes of a large file, none of which are in the kernel's
// cache.
func readAll(dir string, piece, size int) (n int, err error) {
	f, err := os.Open(filepath.Join(dir, "large"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)); err != nil {
		return 0, err
	}
	b := make([]byte, piece)
	for at := 0; at < size; at += piece {
		if _, err := f.ReadAt(b, int64(at)); err != nil && err != io.EOF {
			return n, err
		}
		n++
	}
	return n, nil
}

// glusterGains measures each performance translator on and off, alone above the
// brick. The kernel keeps no names and attributes.
func (b *bench) glusterGains() error {
	return b.withVolume(func(l *lab.Lab, v *lab.Volume) (err error) {
		for _, g := range gains {
			v.Set(g.option, "off")
		}
		t, err := b.ours(l, v, "-o", "attribute-timeout=0,entry-timeout=0,negative-timeout=0")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.stop()) }()
		if err := gainsFolder(t.dir); err != nil {
			return err
		}
		tab := newTable(fmt.Sprintf("a GlusterFS volume of one brick on this machine: what each performance translator gains, alone, without the kernel's caches of names and attributes; operations per second, median of %d rounds; microseconds of the client's processor time for one", gainRounds),
			"translator", "work", "off", "on", "on/off", "CPU off", "CPU on")
		defer tab.end()
		for _, g := range gains {
			var off, on sample
			for range gainRounds {
				for _, s := range []*sample{&off, &on} {
					if err := b.ctx.Err(); err != nil {
						return err
					}
					if s == &on {
						if err := b.setAndWait(t, v, g.option, "on"); err != nil {
							return err
						}
					}
					cpu, began := t.cpu(), time.Now()
					n, err := g.do(t.dir)
					if err != nil {
						return fmt.Errorf("%s: %w", g.translator, err)
					}
					s.add(float64(n)/time.Since(began).Seconds(), (t.cpu()-cpu).Seconds()/float64(n)*1e6)
				}
				if err := b.setAndWait(t, v, g.option, "off"); err != nil {
					return err
				}
			}
			tab.row(g.translator, g.what, num(middle(off.rate)), num(middle(on.rate)), ratio(middle(on.rate), middle(off.rate)), num(middle(off.cpu)), num(middle(on.cpu)))
		}
		return nil
	})
}

// gainsFolder makes what is read.
func gainsFolder(dir string) error {
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, gainSize), 0o644); err != nil {
		return err
	}
	return each(func(p string, _ int) error { return os.WriteFile(p, make([]byte, gainPiece), 0o644) })(files, gainFiles)
}

// setAndWait changes an option of the volume, and waits until the mount has the graph
// with it, and no other.
func (b *bench) setAndWait(t *target, v *lab.Volume, option, value string) error {
	var s struct {
		Graphs struct{ Live int }
		Switch struct{ Count uint64 }
	}
	if err := b.ask(&s, "status", t.dir, "--json"); err != nil {
		return err
	}
	before := s.Switch.Count
	v.Set(option, value)
	for range 500 {
		if err := b.ask(&s, "status", t.dir, "--json"); err != nil {
			return err
		}
		if s.Switch.Count > before && s.Graphs.Live == 1 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s %s does not reach the mount", option, value)
}
