package posix

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// stream is where an open directory stands. It is shared by all FDs of one
// descriptor; the kernel may ask for several pieces at once.
type stream struct {
	mu   sync.Mutex
	at   int64  // offset after the last entry handed out; guarded by mu
	left []byte // entries read but not handed out; guarded by mu
}

// Sizes of an entry in the kernel's answers: struct fuse_dirent, and
// fuse_direntplus, before the name.
const (
	direntSize     = 24
	direntplusSize = 152
)

// readBuffer bounds one read of a directory.
const readBuffer = 32 << 10

// Readdir implements xlator.Fops. Offsets are the file system's own.
func (b *Brick) Readdir(_ context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	rep, err := b.readdir(r, direntSize, b.identify)
	return rep, fail("readdir", r.FD.Inode().GFID(), "", err)
}

// Readdirp implements xlator.Fops.
func (b *Brick) Readdirp(_ context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	rep, err := b.readdir(r, direntplusSize, b.describe)
	return rep, fail("readdirp", r.FD.Inode().GFID(), "", err)
}

type filler func(p *pass, dir *object, dfd *kfd, e *xlator.DirEntry)

func (b *Brick) readdir(r *xlator.ReaddirReq, overhead int, fill filler) (*xlator.ReaddirRep, error) {
	d, err := b.descriptor(r.FD)
	if d != nil && d.removed {
		return &xlator.ReaddirRep{}, nil
	}
	if err == nil && d.stream == nil {
		err = unix.ENOTDIR
	}
	if err != nil {
		return nil, err
	}
	rep := &xlator.ReaddirRep{}
	if rep.Entries, err = b.rt.entries(d, r.Offset, r.Size, overhead); err != nil {
		return nil, err
	}
	p := b.rt.enter()
	defer p.out()
	for i := range rep.Entries {
		e := &rep.Entries[i]
		if e.Name != "." && e.Name != ".." {
			fill(&p, d.obj, d.kfd, e)
		}
	}
	return rep, nil
}

// entries reads the next names, at least one unless it is the end.
func (rt *Runtime) entries(d *descriptor, off int64, size, overhead int) (es []xlator.DirEntry, err error) {
	s := d.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	p := rt.enter()
	defer p.out()
	if off != s.at || off == 0 {
		if err := s.seek(d.n, off); err != nil {
			return nil, err
		}
	}
	for {
		if len(s.left) == 0 {
			if s.left, err = s.read(d.n, size); err != nil || len(s.left) == 0 {
				return es, err
			}
		}
		for len(s.left) > 0 {
			e, rest := nextDirent(s.left)
			need := (overhead + len(e.Name) + 7) &^ 7
			if len(es) > 0 && need > size {
				return es, nil
			}
			s.left, s.at = rest, e.Offset
			if d.obj == rt.root && e.Name == metaName {
				continue
			}
			es = append(es, e)
			size -= need
		}
		if len(es) > 0 {
			s.left = nil
			return es, nil
		}
	}
}

// seek goes to an offset. Called with mu held.
func (s *stream) seek(fd int, off int64) error {
	s.left = nil
	_, err := unix.Seek(fd, off, unix.SEEK_SET)
	if err == nil {
		s.at = off
	}
	return err
}

// read asks the file system for what follows. Called with mu held.
//
// On ext4 (seen on Linux 6.18) a read that begins at 0 may find nothing and leave
// the position at the end, if the directory has changed since its descriptor was
// read to the end; once more from 0 it lists. A directory has "." and "..", so
// nothing at 0 means that, or that it was removed.
func (s *stream) read(fd, size int) ([]byte, error) {
	b, err := getdents(fd, size)
	if err != nil || len(b) > 0 || s.at != 0 {
		return b, err
	}
	if err := s.seek(fd, 0); err != nil {
		return nil, err
	}
	return getdents(fd, size)
}

// getdents is getdents64(2). A directory that was removed has no entries.
func getdents(fd, size int) ([]byte, error) {
	buf := make([]byte, min(max(size, 1024), readBuffer))
	for {
		n, err := unix.Getdents(fd, buf)
		switch err {
		case nil:
			return buf[:n], nil
		case unix.EINTR:
		case unix.ENOENT:
			return nil, nil
		default:
			return nil, err
		}
	}
}

var dirTypes = [...]xlator.FileType{
	unix.DT_REG: xlator.TypeRegular, unix.DT_DIR: xlator.TypeDirectory, unix.DT_LNK: xlator.TypeSymlink,
	unix.DT_BLK: xlator.TypeBlock, unix.DT_CHR: xlator.TypeChar, unix.DT_FIFO: xlator.TypeFIFO, unix.DT_SOCK: xlator.TypeSocket,
}

// nextDirent takes one struct linux_dirent64 off the front.
func nextDirent(b []byte) (e xlator.DirEntry, rest []byte) {
	e.Offset = int64(binary.NativeEndian.Uint64(b[8:]))
	n := binary.NativeEndian.Uint16(b[16:])
	if t := int(b[18]); t < len(dirTypes) {
		e.Type = dirTypes[t]
	}
	name := b[19:n]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	e.Name = string(name)
	return e, b[n:]
}

// identify finds the gfid of an entry.
func (b *Brick) identify(p *pass, dir *object, dfd *kfd, e *xlator.DirEntry) {
	var h rawHandle
	if m, err := nameToHandle(dfd.n, e.Name, 0, &h); err == nil && m == b.rt.mount {
		if o := b.rt.byHandle.get(h.key()); o != nil {
			e.GFID, e.Type = o.gfid, o.typ
			return
		}
	}
	var st unix.Statx_t
	if o, err := b.rt.lookup(p, dir, dfd, e.Name, &st); err == nil {
		e.GFID, e.Type = o.gfid, o.typ
	}
}

// describe looks an entry up. One that has gone meanwhile stays without Inode.
func (b *Brick) describe(p *pass, dir *object, dfd *kfd, e *xlator.DirEntry) {
	var st unix.Statx_t
	o, err := b.rt.lookup(p, dir, dfd, e.Name, &st)
	if err != nil {
		return
	}
	e.GFID, e.Type = o.gfid, o.typ
	e.Inode, e.Attr = b.inode(o), b.rt.iatt(o, &st, nil)
}
