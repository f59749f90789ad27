package gluster_test

import (
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/iostats"
	"github.com/holdfast/holdfast/xlator/performance/mdcache"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/protocol/client"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// TestTranslatorsConformAboveABrick: what they are held to above storage/posix
// they are held to above a real brick, and so is the brick. It runs alone: what a
// translator leaves behind is looked for in the whole process.
func TestTranslatorsConformAboveABrick(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	opts := map[string]string{"remote-host": l.Host, "remote-subvolume": v.Bricks[0].Path}
	salt := uint32(0xa0000000)
	leaf := func(w *xlatortest.World, _ string) xlator.Fops {
		empty(t, opts)
		salt++ // a brick remembers gfids
		w.Salt = salt
		return w.Add(client.Type(), opts)
	}
	types := []*xlator.Type{writebehind.Type()}
	if long(t) {
		types = append(types, iostats.Type(), mdcache.Type())
	}
	for _, typ := range types {
		t.Run(typ.Name, func(t *testing.T) { xlatortest.Conform(t, leaf, xlatortest.Above(typ, nil)) })
	}
}

// empty removes everything from the brick: each play makes the same objects.
func empty(t *testing.T, opts map[string]string) {
	t.Helper()
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(client.Type(), opts)
	w.Start()
	defer w.Stop()
	clean(t, top, w.Root(top))
}

// clean removes what is in a directory.
func clean(t *testing.T, top xlator.Fops, dir *xlator.Inode) {
	t.Helper()
	ctx := xlator.Internal()
	open, err := top.Opendir(ctx, &xlator.OpenReq{Inode: dir})
	ok(t, err)
	defer top.Release(open.FD)
	var all []xlator.DirEntry
	for offset := int64(0); ; {
		rep, err := top.Readdirp(ctx, &xlator.ReaddirReq{FD: open.FD, Offset: offset, Size: 64 << 10})
		ok(t, err)
		if len(rep.Entries) == 0 {
			break
		}
		all = append(all, rep.Entries...)
		offset = rep.Entries[len(rep.Entries)-1].Offset
	}
	for _, e := range all {
		switch {
		case e.Name == "." || e.Name == "..":
		case e.Type == xlator.TypeDirectory:
			clean(t, top, e.Inode)
			_, err := top.Rmdir(ctx, &xlator.RmdirReq{Parent: dir, Name: e.Name})
			ok(t, err)
		default:
			_, err := top.Unlink(ctx, &xlator.UnlinkReq{Parent: dir, Name: e.Name})
			ok(t, err)
		}
	}
}
