package fuse

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

const nameMax = 255

// bridge turns decoded requests into calls of the graph. Its methods return
// errors as they come; request.fail makes errnos of them.
type bridge struct {
	// Constant after construction.
	t    *fdtable.Table
	opts *Options

	attr, entry, negative timeout
	brief                 timeout // of a name that nobody takes back
	told                  *told
	expire                func(dir uint64, name string) // takes a name back
}

// timeout is how long the kernel may keep something, as replies say it.
type timeout struct {
	sec  uint64
	nsec uint32
}

func newTimeout(d time.Duration) timeout {
	d = max(d, 0)
	return timeout{uint64(d / time.Second), uint32(d % time.Second)}
}

func newBridge(s *Session, t *fdtable.Table) *bridge {
	return &bridge{
		t: t, opts: &s.opts,
		attr: newTimeout(s.opts.AttrTimeout), entry: newTimeout(s.opts.EntryTimeout), negative: newTimeout(s.opts.NegativeTimeout),
		brief: newTimeout(min(s.opts.EntryTimeout, moment)), told: newTold(&s.opts), expire: s.InvalidateEntry,
	}
}

// node finds the node that the request is about.
func (b *bridge) node(id uint64) (*fdtable.Node, error) {
	if n := b.t.Node(id); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("node %#x is not known: %w", id, syscall.ESTALE)
}

// use enters the graph that serves the request's node.
func (b *bridge) use(r *request) (fdtable.Use, error) {
	n, err := b.node(r.node)
	if err != nil {
		return fdtable.Use{}, err
	}
	return b.t.UseNode(&r.call, n)
}

// fd finds the base fd of that fh.
func (b *bridge) fd(fh uint64) (*fdtable.BaseFD, error) {
	if f := b.t.FD(fh); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("fh %#x is not open: %w", fh, syscall.EBADF)
}

// useFD enters the graph that serves the base fd of that fh.
func (b *bridge) useFD(r *request, fh uint64) (fdtable.Use, error) {
	f, err := b.fd(fh)
	if err != nil {
		return fdtable.Use{}, err
	}
	return b.t.UseFD(&r.call, f)
}

func checkName(name string) error {
	if len(name) > nameMax {
		return syscall.ENAMETOOLONG
	}
	return nil
}

// attrOf is what the kernel is told of a file.
func attrOf(a *xlator.Iatt) gofuse.Attr {
	return gofuse.Attr{
		Ino: a.GFID.Ino(), Size: a.Size, Blocks: a.Blocks,
		Atime: uint64(a.Atime.Sec), Mtime: uint64(a.Mtime.Sec), Ctime: uint64(a.Ctime.Sec),
		Atimensec: a.Atime.Nsec, Mtimensec: a.Mtime.Nsec, Ctimensec: a.Ctime.Nsec,
		Mode: a.StMode(), Nlink: a.Nlink, Owner: gofuse.Owner{Uid: a.UID, Gid: a.GID},
		Rdev: uint32(a.Rdev), Blksize: a.Blksize,
	}
}

func (b *bridge) fillAttr(out *gofuse.AttrOut, a *xlator.Iatt) {
	out.Attr = attrOf(a)
	out.AttrValid, out.AttrValidNsec = b.attr.sec, b.attr.nsec
}

func (b *bridge) fillEntry(out *gofuse.EntryOut, n *fdtable.Node, a *xlator.Iatt) {
	out.Attr = attrOf(a)
	out.NodeId, out.Generation = n.ID(), generation(n.GFID())
	out.AttrValid, out.AttrValidNsec = b.attr.sec, b.attr.nsec
	out.EntryValid, out.EntryValidNsec = b.entry.sec, b.entry.nsec
}

// limit has the kernel keep the entry for a moment only, unless it can be taken back.
func (b *bridge) limit(out *gofuse.EntryOut, told bool) {
	if !told {
		out.EntryValid, out.EntryValidNsec = b.brief.sec, b.brief.nsec
	}
}

// generation is a number that belongs to the file. A file handle that was given
// out (NFS, name_to_handle_at) holds nodeid and generation, and nodeids begin
// anew with each mount: a handle of an earlier mount must not open another file.
func generation(g xlator.GFID) uint64 {
	return uint64(binary.BigEndian.Uint32(g[:]) ^ binary.BigEndian.Uint32(g[4:]) ^ binary.BigEndian.Uint32(g[8:]) ^ binary.BigEndian.Uint32(g[12:]))
}

// known makes sure that a are the attributes of i: a zero Iatt is asked for.
func known(r *request, u *fdtable.Use, i *xlator.Inode, a *xlator.Iatt) error {
	if a.Valid() {
		return nil
	}
	rep, err := u.G.Top.Stat(&r.call, &xlator.StatReq{Inode: i})
	if err != nil {
		return err
	}
	*a = rep.Attr
	if !a.Valid() {
		return fmt.Errorf("no attributes of %s: %w", i.GFID(), syscall.EIO)
	}
	return nil
}

// fresh returns the attributes of a node, waiting where it is held.
func (b *bridge) fresh(r *request, n *fdtable.Node) (xlator.Iatt, error) {
	u, err := b.t.UseNode(&r.call, n)
	if err != nil {
		return xlator.Iatt{}, err
	}
	defer u.Done()
	var a xlator.Iatt
	err = known(r, &u, u.Inode, &a)
	return a, err
}
