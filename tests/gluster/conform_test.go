package gluster_test

import (
	"maps"
	"slices"
	"testing"

	parser "github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
	"github.com/holdfast/holdfast/xlator/protocol/client"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// single are the translators that are tested each for itself, with the longest
// timeouts, so that time does not put things right.
var single = map[string]map[string]string{
	"performance/write-behind":  nil,
	"performance/read-ahead":    {"page-size": "4096", "page-count": "16"},
	"performance/readdir-ahead": nil,
	"performance/io-cache":      {"cache-timeout": "60"},
	"performance/open-behind":   {"use-anonymous-fd": "on"},
	"performance/quick-read":    {"cache-timeout": "600", "max-file-size": "1MB"},
	"performance/nl-cache":      {"nl-cache-timeout": "600", "nl-cache-positive-entry": "on"},
	"performance/md-cache":      {"md-cache-timeout": "600", "xattr-cache-list": "user.*,trusted.*"},
}

// together has glusterd stack all of them, with the longest timeouts, too.
var together = []string{
	"performance.write-behind", "on", "performance.read-ahead", "on", "performance.readdir-ahead", "on", "performance.io-cache", "on",
	"performance.open-behind", "on", "performance.quick-read", "on", "performance.nl-cache", "on", "performance.stat-prefetch", "on",
	"performance.io-cache-size", "32MB", "performance.cache-refresh-timeout", "60", "performance.nl-cache-timeout", "600",
	"performance.nl-cache-positive-entry", "on", "performance.md-cache-timeout", "600", "performance.qr-cache-timeout", "600",
}

// TestTranslatorsConformAboveABrick: what they are held to above storage/posix
// they are held to above a real brick, each alone and all as glusterd stacks them,
// and so is the brick. It runs alone: what a translator leaves behind is looked for
// in the whole process.
func TestTranslatorsConformAboveABrick(t *testing.T) {
	l := lab.Start(t)
	one, two := l.Volume("one", lab.Set(together...)), l.Volume("two")
	var subjects []xlatortest.Subject
	for _, name := range slices.Sorted(maps.Keys(single)) {
		subjects = append(subjects, xlatortest.Subject{Name: name, Build: xlatortest.Above(all.Find(name), single[name])})
	}
	subjects = append(subjects, xlatortest.Subject{Name: "together", Build: stacked(t, one.Volfile())})
	xlatortest.NoLeaks(t, func() {
		a, b := brickLeaf(t, l, one), brickLeaf(t, l, two)
		xlatortest.ConformBeside(t, []xlatortest.Leaf{a.leaf, b.leaf}, subjects)
		a.stop()
		b.stop()
	})
}

// stacked builds what a volfile has above its brick.
func stacked(t *testing.T, text string) xlatortest.Build {
	t.Helper()
	f, err := parser.Parse("one.vol", []byte(text))
	ok(t, err)
	missing := map[string]bool{}
	for name := range single {
		missing[name] = true
	}
	for _, v := range f.Volumes {
		delete(missing, v.Type)
	}
	if len(missing) > 0 {
		t.Fatalf("glusterd does not stack %v:\n%s", missing, text)
	}
	return func(w *xlatortest.World, x xlator.Fops) xlator.Fops {
		for _, v := range f.Volumes {
			typ, opts := all.Find(v.Type), map[string]string{}
			if typ.Name == "protocol/client" {
				continue // it is the leaf
			}
			for _, o := range v.Options {
				if _, known := typ.FindOption(o.Key); known {
					opts[o.Key] = o.Value
				}
			}
			x = w.Add(typ, opts, x)
		}
		return x
	}
}

// emptied is a leaf on a brick that is emptied before each play: each makes the same
// objects.
type emptied struct {
	opts map[string]string
	salt uint32
	w    *xlatortest.World // the one that empties
	top  xlator.Fops
	root *xlator.Inode
}

func brickLeaf(t *testing.T, l *lab.Lab, v *lab.Volume) *emptied {
	t.Helper()
	b := &emptied{
		opts: map[string]string{"remote-host": l.Host, "remote-subvolume": v.Bricks[0].Path},
		salt: 0xa0000000,
		w:    xlatortest.NewWorld(t, nil),
	}
	b.top = b.w.Add(client.Type(), b.opts)
	b.w.Start()
	b.root = b.w.Root(b.top)
	return b
}

func (b *emptied) stop() { b.w.Stop() }

func (b *emptied) leaf(w *xlatortest.World, _ string) xlator.Fops {
	clean(w.T(), b.top, b.root)
	b.salt++ // a brick remembers gfids
	w.Salt = b.salt
	return w.Add(client.Type(), b.opts)
}

// clean removes what is in a directory.
func clean(t testing.TB, top xlator.Fops, dir *xlator.Inode) {
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
