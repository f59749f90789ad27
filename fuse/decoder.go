package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// decoder is a ProtocolServer for one request object: what it calls finds the
// request in r, so that nothing is looked up or shared.
type decoder struct {
	gofuse.RawFileSystem // answers ENOSYS to what is not here
	// Constant after construction.
	server *gofuse.ProtocolServer

	r       *request
	in, out [1][]byte // HandleRequest's arguments
}

func newDecoder(s *Session) *decoder {
	d := &decoder{RawFileSystem: gofuse.NewDefaultRawFileSystem()}
	o := mountOptions(&s.opts)
	o.PanicHandler = s.panicked
	d.server = gofuse.NewProtocolServer(d, o)
	return d
}

type cancel = <-chan struct{}

// bridge returns what carries the request out.
func (d *decoder) bridge() *bridge { return d.r.s.bridge }

func (d *decoder) done(err error) gofuse.Status {
	if err == nil {
		return gofuse.OK
	}
	return d.r.fail(err)
}

func (d *decoder) Mknod(_ cancel, in *gofuse.MknodIn, name string, out *gofuse.EntryOut) gofuse.Status {
	return d.done(d.bridge().mknod(d.r, in, name, out))
}

func (d *decoder) Symlink(_ cancel, _ *gofuse.InHeader, target, name string, out *gofuse.EntryOut) gofuse.Status {
	return d.done(d.bridge().symlink(d.r, target, name, out))
}

func (d *decoder) Link(_ cancel, in *gofuse.LinkIn, name string, out *gofuse.EntryOut) gofuse.Status {
	return d.done(d.bridge().link(d.r, in.Oldnodeid, name, out))
}

func (d *decoder) Rename(_ cancel, in *gofuse.RenameIn, oldName, newName string) gofuse.Status {
	return d.done(d.bridge().rename(d.r, in, oldName, newName))
}

func (d *decoder) Readlink(cancel, *gofuse.InHeader) ([]byte, gofuse.Status) {
	target, err := d.bridge().readlink(d.r)
	return []byte(target), d.done(err)
}

func (d *decoder) Access(_ cancel, in *gofuse.AccessIn) gofuse.Status {
	return d.done(d.bridge().access(d.r, in.Mask))
}

func (d *decoder) GetXAttr(_ cancel, _ *gofuse.InHeader, name string, dest []byte) (uint32, gofuse.Status) {
	n, err := d.bridge().getxattr(d.r, name, dest)
	return uint32(n), d.done(err)
}

func (d *decoder) ListXAttr(_ cancel, _ *gofuse.InHeader, dest []byte) (uint32, gofuse.Status) {
	n, err := d.bridge().listxattr(d.r, dest)
	return uint32(n), d.done(err)
}

func (d *decoder) SetXAttr(_ cancel, in *gofuse.SetXAttrIn, name string, value []byte) gofuse.Status {
	return d.done(d.bridge().setxattr(d.r, in, name, value))
}

func (d *decoder) RemoveXAttr(_ cancel, _ *gofuse.InHeader, name string) gofuse.Status {
	return d.done(d.bridge().removexattr(d.r, name))
}

func (d *decoder) Tmpfile(_ cancel, in *gofuse.CreateIn, out *gofuse.CreateOut) gofuse.Status {
	return d.done(d.bridge().tmpfile(d.r, in, out))
}

func (d *decoder) Lseek(_ cancel, in *gofuse.LseekIn, out *gofuse.LseekOut) gofuse.Status {
	return d.done(d.bridge().lseek(d.r, in, out))
}

func (d *decoder) GetLk(_ cancel, in *gofuse.LkIn, out *gofuse.LkOut) gofuse.Status {
	return d.done(d.bridge().getlk(d.r, in, out))
}

func (d *decoder) SetLk(_ cancel, in *gofuse.LkIn) gofuse.Status {
	return d.done(d.bridge().setlk(d.r, in, false))
}

func (d *decoder) SetLkw(_ cancel, in *gofuse.LkIn) gofuse.Status {
	return d.done(d.bridge().setlk(d.r, in, true))
}

func (d *decoder) CopyFileRange(_ cancel, in *gofuse.CopyFileRangeIn) (uint32, gofuse.Status) {
	n, err := d.bridge().copyFileRange(d.r, in)
	return uint32(n), d.done(err)
}

func (d *decoder) Fsync(_ cancel, in *gofuse.FsyncIn) gofuse.Status {
	return d.done(d.bridge().fsync(d.r, in))
}

func (d *decoder) FsyncDir(_ cancel, in *gofuse.FsyncIn) gofuse.Status {
	return d.done(d.bridge().fsyncdir(d.r, in))
}

func (d *decoder) Fallocate(_ cancel, in *gofuse.FallocateIn) gofuse.Status {
	return d.done(d.bridge().fallocate(d.r, in))
}

func (d *decoder) ReadDir(_ cancel, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return d.done(d.bridge().readdir(d.r, in, out))
}

func (d *decoder) ReadDirPlus(_ cancel, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	return d.done(d.bridge().readdirplus(d.r, in, out))
}

func (d *decoder) StatFs(_ cancel, _ *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	return d.done(d.bridge().statfs(d.r, out))
}
