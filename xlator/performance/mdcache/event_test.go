package mdcache

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Another client changes the file, and the brick tells: before, and while an answer
// is on its way.
func TestEventsAreHeard(t *testing.T) {
	for name, event := range map[string]func(g xlator.GFID) xlator.Event{
		"invalidation": func(g xlator.GFID) xlator.Event {
			return xlator.Event{Kind: xlator.Invalidate, File: g, Stale: xlator.StaleAttr}
		},
		"child down": func(xlator.GFID) xlator.Event { return xlator.Event{Kind: xlator.ChildDown} },
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, map[string]string{"md-cache-timeout": "600", "xattr-cache-list": "user.x"})
			i := w.create("f").Inode()
			other := w.create("other").Inode()
			elsewhere := func(mode uint32) {
				_, err := w.Leaf.Setattr(xlator.Internal(), &xlator.SetattrReq{Inode: i, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: mode}})
				w.Must(err)
				if !w.X.Notified(w.P, event(i.GFID())) {
					t.Error("its parents are not told")
				}
			}
			get := func() error {
				_, err := w.X.Getxattr(xlator.Internal(), &xlator.GetxattrReq{Inode: i, Name: "user.x"})
				return err
			}
			if xlator.Errno(get()) != unix.ENODATA || !w.cached(i) || !w.cached(other) {
				t.Fatal("nothing was kept")
			}
			d := &xlator.Dict{}
			d.SetBytes("user.x", []byte("1"))
			_, err := w.Leaf.Setxattr(xlator.Internal(), &xlator.SetxattrReq{Inode: i, Xattrs: d})
			w.Must(err)
			elsewhere(0o600)
			w.right(i)
			if err := get(); err != nil {
				t.Errorf("extended attribute: %v", err)
			}
			if name == "invalidation" && !w.cached(other) {
				t.Error("another file was forgotten as well")
			}
			elsewhere(0o601)
			g := w.P.Gate(xlator.FopStat, true)
			done := xlatortest.Async(func() { w.stat(i) })
			g.Wait(t)
			elsewhere(0o602)
			close(g.Open)
			xlatortest.Ended(w.T(), done)
			w.right(i)
		})
	}
}
