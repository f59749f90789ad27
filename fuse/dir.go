package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// readdir lists names. Cookies are the leaf's own. What does not fit is left:
// the kernel asks again from the last cookie that it got.
func (b *bridge) readdir(r *request, in *gofuse.ReadIn, out *gofuse.DirEntryList) error {
	u, err := b.useFD(r, in.Fh)
	if err != nil {
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Readdir(&r.call, &xlator.ReaddirReq{FD: u.FD, Offset: int64(in.Offset), Size: int(in.Size)})
	if err != nil {
		return err
	}
	for i := range rep.Entries {
		if !out.AddDirEntry(direntOf(r, &u, &rep.Entries[i])) {
			break
		}
	}
	return nil
}

// readdirplus lists names with their attributes. An entry counts as a lookup if
// it has been delivered with a nodeid; without one the kernel looks it up when
// somebody wants to know.
func (b *bridge) readdirplus(r *request, in *gofuse.ReadIn, out *gofuse.DirEntryList) error {
	u, err := b.useFD(r, in.Fh)
	if err != nil {
		return err
	}
	defer u.Done()
	seen := b.told.seen()
	rep, err := u.G.Top.Readdirp(&r.call, &xlator.ReaddirReq{FD: u.FD, Offset: int64(in.Offset), Size: int(in.Size)})
	if err != nil {
		return err
	}
	for i := range rep.Entries {
		e := &rep.Entries[i]
		if r.listed != 0 && r.counts.Full() {
			break
		}
		slot := out.AddDirLookupEntry(direntOf(r, &u, e))
		if slot == nil {
			break
		}
		if e.Name == "." || e.Name == ".." || e.Inode == nil || !e.Attr.Valid() || b.t.Held(e.Inode.GFID()) {
			continue
		}
		b.fillEntry(slot, b.t.SeenFor(r.counting(), u.G, e.Inode), &e.Attr)
		b.limit(slot, b.told.tellSince(r.node, e.Name, seen))
	}
	return nil
}

func direntOf(r *request, u *fdtable.Use, e *xlator.DirEntry) gofuse.DirEntry {
	d := gofuse.DirEntry{Name: e.Name, Off: uint64(e.Offset), Mode: e.Type.Mode()}
	switch {
	case e.Name == "." || e.Name == "..":
		d.Mode = xlator.TypeDirectory.Mode()
		if g := dotGFID(r, u, e); !g.IsZero() {
			d.Ino = g.Ino()
		}
	case !e.GFID.IsZero():
		d.Ino = e.GFID.Ino()
	}
	return d
}

// dotGFID is what "." or ".." means; zero where the brick cannot say.
func dotGFID(r *request, u *fdtable.Use, e *xlator.DirEntry) xlator.GFID {
	own := u.Inode.GFID()
	switch {
	case !e.GFID.IsZero():
		return e.GFID
	case e.Name == "." || own == xlator.RootGFID: // the root is its own parent
		return own
	}
	rep, err := u.G.Top.Lookup(&r.call, &xlator.LookupReq{Parent: u.Inode, Name: ".."})
	if err != nil {
		return xlator.GFID{}
	}
	return rep.Inode.GFID()
}

func (b *bridge) fsyncdir(r *request, in *gofuse.FsyncIn) error {
	u, err := b.useFD(r, in.Fh)
	if err != nil {
		return err
	}
	defer u.Done()
	_, err = u.G.Top.Fsyncdir(&r.call, &xlator.FsyncReq{FD: u.FD, Datasync: in.FsyncFlags&fsyncDatasync != 0})
	return err
}
