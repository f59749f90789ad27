package distribute_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/cluster/distribute"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// attr replaces the name that storage/posix keeps to itself.
const attr = "trusted.layout"

// brick makes storage/posix look like a GlusterFS brick as far as is needed: it
// answers a lookup that asks for attributes, and remembers what it was sent.
type brick struct {
	xlator.Default
	layout bool // the root has one

	mkdir, unlink []*xlator.Dict // xdata
	listed        int            // listings asked for
	page          int            // entries of one listing; 0: all
}

func (b *brick) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	rep, err := b.Next.Lookup(ctx, r)
	if err != nil || r.GFID != xlator.RootGFID || !b.layout {
		return rep, err
	}
	with := *rep
	with.Xdata = &xlator.Dict{}
	for _, p := range r.Xdata.Pairs() {
		with.Xdata.SetBytes(p.Key, make([]byte, 16))
	}
	return &with, nil
}

func (b *brick) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	b.mkdir = append(b.mkdir, r.Xdata)
	return b.Next.Mkdir(ctx, r)
}

// Create does not say what it has opened, as a brick of 10.3 does not.
func (b *brick) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	rep, err := b.Next.Create(ctx, r)
	if err == nil && !rep.Made {
		rep.Attr = xlator.Iatt{}
	}
	return rep, err
}

func (b *brick) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	b.unlink = append(b.unlink, r.Xdata)
	return b.Next.Unlink(ctx, r)
}

func (b *brick) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	b.listed++
	rep, err := b.Next.Readdirp(ctx, r)
	if err == nil && b.page > 0 && len(rep.Entries) > b.page {
		rep.Entries = rep.Entries[:b.page]
	}
	return rep, err
}

// world is a graph: distribute above a brick.
type world struct {
	t     *testing.T
	brick *brick
	top   xlator.Fops
	root  *xlator.Inode
}

func newWorld(t *testing.T, layout bool) *world {
	t.Helper()
	w := xlatortest.NewWorld(t, nil)
	b := &brick{Default: xlator.Default{Next: leaf(w, t.TempDir())}, layout: layout}
	top := w.Add(distribute.Type(), map[string]string{"xattr-name": attr}, b)
	w.Start()
	return &world{t: t, brick: b, top: top, root: w.Root(top)}
}

func (w *world) make(name string, mode uint32) xlator.MakeReq {
	return xlator.MakeReq{Parent: w.root, Name: name, GFID: xlator.NewGFID(), Mode: mode}
}

func must[T any](t *testing.T, rep T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func isErrno(t *testing.T, what string, err error, want unix.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func (w *world) dir(parent *xlator.Inode, name string) *xlator.Inode {
	w.t.Helper()
	r := &xlator.MkdirReq{MakeReq: w.make(name, 0o755)}
	r.Parent = parent
	rep, err := w.top.Mkdir(xlator.Internal(), r)
	return must(w.t, rep, err).Inode
}

// link puts a link file onto the brick.
func (w *world) link(parent *xlator.Inode, name, data string) {
	w.t.Helper()
	call := xlator.Internal()
	r := &xlator.CreateReq{MakeReq: w.make(name, unix.S_ISVTX), Flags: unix.O_RDWR | unix.O_EXCL}
	r.Parent = parent
	c, err := w.brick.Create(call, r)
	must(w.t, c, err)
	if data != "" {
		_, err := w.brick.Writev(call, &xlator.WritevReq{FD: c.FD, Payload: xlator.Payload{Bytes: []byte(data)}})
		must(w.t, 0, err)
	}
	w.brick.Release(c.FD)
	x := &xlator.Dict{}
	x.SetString(attr+".linkto", "two-client-1")
	_, err = w.brick.Setxattr(call, &xlator.SetxattrReq{Inode: c.FD.Inode(), Xattrs: x})
	must(w.t, 0, err)
}

// names lists a directory through x, size bytes at a time.
func (w *world) names(x xlator.Fops, dir *xlator.Inode, plain bool) []string {
	w.t.Helper()
	call := xlator.Internal()
	open, err := x.Opendir(call, &xlator.OpenReq{Inode: dir, Flags: unix.O_DIRECTORY})
	must(w.t, open, err)
	defer x.Release(open.FD)
	var names []string
	r := &xlator.ReaddirReq{FD: open.FD, Size: 4096}
	for {
		list := x.Readdirp
		if plain {
			list = x.Readdir
		}
		rep, err := list(call, r)
		if must(w.t, rep, err); len(rep.Entries) == 0 {
			break
		}
		for _, e := range rep.Entries {
			r.Offset = e.Offset
			if !strings.HasPrefix(e.Name, ".") {
				names = append(names, e.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
