package posix

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Run all with: go test -run - -bench . ./xlator/storage/posix
// Each pair is the fop and what the kernel needs for the same on the directory.

func BenchmarkLookup(b *testing.B) {
	k := fresh(b)
	d := k.mkdir(k.root, "d")
	f := k.file(d, "f", "")
	defer runtime.KeepAlive(f) // as a node of the kernel's would be
	p := filepath.Join(k.dir, "d", "f")
	b.Run("fop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Lookup(k.ctx, &xlator.LookupReq{Parent: d, Name: "f"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		var st unix.Stat_t
		for b.Loop() {
			if err := unix.Lstat(p, &st); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStat(b *testing.B) {
	k := fresh(b)
	f := k.file(k.root, "f", "")
	b.Run("fop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Stat(k.ctx, &xlator.StatReq{Inode: f}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		var st unix.Stat_t
		p := k.path("f")
		for b.Loop() {
			if err := unix.Lstat(p, &st); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// into is a Destination that is always the same memory.
type into []byte

func (d into) Grab(n int) []byte { return d[:n] }

func BenchmarkReadv4K(b *testing.B) {
	k := fresh(b)
	f := k.open(k.file(k.root, "f", string(make([]byte, 1<<20))), unix.O_RDONLY)
	defer k.Release(f)
	buf := make(into, 4096)
	b.Run("fop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Readv(k.ctx, &xlator.ReadvReq{FD: f, Size: 4096, Offset: 8192, Dst: buf}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		n := k.fds.Get(f).n
		for b.Loop() {
			if _, err := unix.Pread(n, buf, 8192); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWritev4K(b *testing.B) {
	k := fresh(b)
	f := k.create(k.root, "f", 0).FD
	defer k.Release(f)
	buf := make([]byte, 4096)
	b.Run("fop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Writev(k.ctx, &xlator.WritevReq{FD: f, Payload: xlator.Payload{Bytes: buf}, Offset: 8192}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		n := k.fds.Get(f).n
		for b.Loop() {
			if _, err := unix.Pwrite(n, buf, 8192); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw with statx", func(b *testing.B) {
		n := k.fds.Get(f).n
		var st unix.Statx_t
		for b.Loop() {
			if _, err := unix.Pwrite(n, buf, 8192); err != nil {
				b.Fatal(err)
			}
			if err := statFD(n, &st); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	b.Run("fop", func(b *testing.B) {
		k := fresh(b)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			rep, err := k.Create(k.ctx, &xlator.CreateReq{MakeReq: k.mk(k.root, fmt.Sprint("f", n), 0o644), Flags: unix.O_RDWR | unix.O_CREAT})
			if err != nil {
				b.Fatal(err)
			}
			k.Release(rep.FD)
		}
	})
	b.Run("raw", func(b *testing.B) {
		dir := b.TempDir()
		for n := 0; b.Loop(); n++ {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("f", n)), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	// What the layout asks for at least: gfid and handle.
	b.Run("raw with gfid and handle", func(b *testing.B) {
		dir := b.TempDir()
		handles := filepath.Join(dir, "handles")
		if err := os.Mkdir(handles, 0o755); err != nil {
			b.Fatal(err)
		}
		g := make([]byte, 16)
		for n := 0; b.Loop(); n++ {
			p := filepath.Join(dir, fmt.Sprint("f", n))
			f, err := os.OpenFile(p, os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			if err := unix.Fsetxattr(int(f.Fd()), xattrGFID, g, 0); err != nil {
				b.Fatal(err)
			}
			if err := os.Link(p, filepath.Join(handles, fmt.Sprint("f", n))); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

func BenchmarkUnlink(b *testing.B) {
	k := fresh(b)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		k.file(k.root, "f", "")
		b.StartTimer()
		if _, err := k.Unlink(k.ctx, &xlator.UnlinkReq{Parent: k.root, Name: "f"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIntents is what a journal costs: each pair is the same operations
// with and without one.
func BenchmarkIntents(b *testing.B) {
	k := fresh(b)
	f := k.file(k.root, "f", "")
	defer runtime.KeepAlive(f)
	j, _ := newJournal(b)
	journaled := caller(0, 0)
	journaled.Journal = j
	for _, c := range []struct {
		name string
		do   func(c *xlator.Call) error
	}{
		{"link and unlink", func(c *xlator.Call) error {
			if _, err := k.Link(c, &xlator.LinkReq{Inode: f, Parent: k.root, Name: "g"}); err != nil {
				return err
			}
			j.reset()
			_, err := k.Unlink(c, &xlator.UnlinkReq{Parent: k.root, Name: "g"})
			return err
		}},
		{"rename", func(c *xlator.Call) error {
			if _, err := k.Rename(c, &xlator.RenameReq{OldParent: k.root, OldName: "f", NewParent: k.root, NewName: "h"}); err != nil {
				return err
			}
			j.reset()
			_, err := k.Rename(c, &xlator.RenameReq{OldParent: k.root, OldName: "h", NewParent: k.root, NewName: "f"})
			return err
		}},
		{"setxattr and removexattr", func(c *xlator.Call) error {
			if _, err := k.Setxattr(c, &xlator.SetxattrReq{Inode: f, Xattrs: dict("trusted.a", "v"), Flags: unix.XATTR_CREATE}); err != nil {
				return err
			}
			j.reset()
			_, err := k.Removexattr(c, &xlator.RemovexattrReq{Inode: f, Name: "trusted.a"})
			return err
		}},
		{"truncate", func(c *xlator.Call) error {
			_, err := k.Truncate(c, &xlator.TruncateReq{Inode: f, Size: 0})
			return err
		}},
	} {
		for _, with := range []struct {
			name string
			call *xlator.Call
		}{{"with", journaled}, {"without", k.ctx.(*xlator.Call)}} {
			b.Run(c.name+"/"+with.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					j.reset()
					if err := c.do(with.call); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
