package distribute_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/cluster/distribute"
)

func TestNewDirectoryGetsTheWholeRing(t *testing.T) {
	for _, layout := range []bool{false, true} {
		w := newWorld(t, layout)
		r := &xlator.MkdirReq{MakeReq: w.make("d", 0o755)}
		r.Xdata = &xlator.Dict{}
		r.Xdata.SetInt("other", 5)
		rep, err := w.top.Mkdir(xlator.Internal(), r)
		must(t, rep, err)
		got, _ := w.brick.mkdir[0].Bytes(attr)
		if want := append(make([]byte, 12), 0xff, 0xff, 0xff, 0xff); !bytes.Equal(got, want) {
			t.Errorf("layout %x, want %x", got, want)
		}
		if !w.brick.mkdir[0].Has("other") || r.Xdata.Len() != 1 {
			t.Errorf("sent %v, the caller's is %v", w.brick.mkdir[0].Pairs(), r.Xdata.Pairs())
		}
	}
}

func TestLayoutsAreNotForApplications(t *testing.T) {
	w := newWorld(t, false)
	call := xlator.Internal()
	d := w.dir(w.root, "d")
	x := &xlator.Dict{}
	x.SetBytes(attr, []byte("layout"))
	x.SetBytes(attr+".mds", []byte("mds"))
	x.SetBytes(attr+"s", []byte("of somebody else"))
	_, err := w.brick.Setxattr(call, &xlator.SetxattrReq{Inode: d, Xattrs: x})
	must(t, 0, err)
	open, err := w.top.Opendir(call, &xlator.OpenReq{Inode: d, Flags: unix.O_DIRECTORY})
	must(t, open, err)
	defer w.top.Release(open.FD)

	all, err := w.top.Getxattr(call, &xlator.GetxattrReq{Inode: d})
	must(t, all, err)
	fall, err := w.top.Fgetxattr(call, &xlator.FgetxattrReq{FD: open.FD})
	must(t, fall, err)
	for _, rep := range []*xlator.XattrRep{all, fall} {
		if rep.Xattrs.Len() != 1 || !rep.Xattrs.Has(attr+"s") {
			t.Errorf("listed: %v", rep.Xattrs.Pairs())
		}
	}
	for _, name := range []string{attr, attr + ".mds"} {
		_, err := w.top.Getxattr(call, &xlator.GetxattrReq{Inode: d, Name: name})
		isErrno(t, "getxattr "+name, err, unix.ENODATA)
		_, err = w.top.Fgetxattr(call, &xlator.FgetxattrReq{FD: open.FD, Name: name})
		isErrno(t, "fgetxattr "+name, err, unix.ENODATA)
		one := &xlator.Dict{}
		one.SetBytes(name, []byte("x"))
		_, err = w.top.Setxattr(call, &xlator.SetxattrReq{Inode: d, Xattrs: one})
		isErrno(t, "setxattr "+name, err, unix.EPERM)
		_, err = w.top.Fsetxattr(call, &xlator.FsetxattrReq{FD: open.FD, Xattrs: one})
		isErrno(t, "fsetxattr "+name, err, unix.EPERM)
		_, err = w.top.Removexattr(call, &xlator.RemovexattrReq{Inode: d, Name: name})
		isErrno(t, "removexattr "+name, err, unix.EPERM)
		_, err = w.top.Fremovexattr(call, &xlator.FremovexattrReq{FD: open.FD, Name: name})
		isErrno(t, "fremovexattr "+name, err, unix.EPERM)
	}
	_, err = w.top.Removexattr(call, &xlator.RemovexattrReq{Inode: d, Name: attr + "s"})
	must(t, 0, err)
}

func TestLinkFilesAreNeitherFoundNorListed(t *testing.T) {
	w := newWorld(t, true)
	call := xlator.Internal()
	d := w.dir(w.root, "d")
	want := []string{"file-00"}
	r := &xlator.MknodReq{MakeReq: w.make("file-00", 0o644), Type: xlator.TypeRegular}
	r.Parent = d
	_, err := w.top.Mknod(call, r)
	must(t, 0, err)
	// What applications have made of one, or looks like one, is a file.
	w.link(d, "written", "data")
	r = &xlator.MknodReq{MakeReq: w.make("sticky", unix.S_ISVTX), Type: xlator.TypeRegular}
	r.Parent = d
	_, err = w.top.Mknod(call, r)
	must(t, 0, err)
	want = append(want, "sticky", "written")
	for i := range 40 {
		w.link(d, fmt.Sprintf("link-%02d", i), "")
	}
	for _, page := range []int{0, 1, 3} {
		w.brick.page = page
		for _, plain := range []bool{false, true} {
			if got := w.names(w.top, d, plain); !slices.Equal(got, want) {
				t.Errorf("page %d, plain %v: %q, want %q", page, plain, got, want)
			}
		}
	}
	for _, name := range want {
		_, err := w.top.Lookup(call, &xlator.LookupReq{Parent: d, Name: name})
		must(t, 0, err)
	}
	_, err = w.top.Lookup(call, &xlator.LookupReq{Parent: d, Name: "link-07"})
	isErrno(t, "lookup of a link file", err, unix.ENOENT)
	if len(w.brick.unlink) > 0 {
		t.Error("looking removed something")
	}
}

func TestLinkFileIsNotInTheWayOfANewObject(t *testing.T) {
	call := xlator.Internal()
	for what, do := range map[string]func(w *world) error{
		"mkdir": func(w *world) error {
			_, err := w.top.Mkdir(call, &xlator.MkdirReq{MakeReq: w.make("name", 0o755)})
			return err
		},
		"mknod": func(w *world) error {
			_, err := w.top.Mknod(call, &xlator.MknodReq{MakeReq: w.make("name", 0o644), Type: xlator.TypeFIFO})
			return err
		},
		"symlink": func(w *world) error {
			_, err := w.top.Symlink(call, &xlator.SymlinkReq{MakeReq: w.make("name", 0o777), Target: "x"})
			return err
		},
		"link": func(w *world) error {
			rep, err := w.top.Mknod(call, &xlator.MknodReq{MakeReq: w.make("old", 0o644), Type: xlator.TypeRegular})
			if err == nil {
				_, err = w.top.Link(call, &xlator.LinkReq{Inode: rep.Inode, Parent: w.root, Name: "name"})
			}
			return err
		},
		"rename": func(w *world) error {
			_, err := w.top.Mknod(call, &xlator.MknodReq{MakeReq: w.make("old", 0o644), Type: xlator.TypeRegular})
			if err == nil {
				_, err = w.top.Rename(call, &xlator.RenameReq{OldParent: w.root, OldName: "old", NewParent: w.root, NewName: "name", Flags: unix.RENAME_NOREPLACE})
			}
			return err
		},
		"create": func(w *world) error {
			rep, err := w.top.Create(call, &xlator.CreateReq{MakeReq: w.make("name", 0o644), Flags: unix.O_RDWR})
			if err == nil {
				defer w.top.Release(rep.FD)
				if !rep.Made {
					return fmt.Errorf("opened what was there: %+v", rep.Attr)
				}
			}
			return err
		},
		"create O_EXCL": func(w *world) error {
			rep, err := w.top.Create(call, &xlator.CreateReq{MakeReq: w.make("name", 0o644), Flags: unix.O_RDWR | unix.O_EXCL})
			if err == nil {
				w.top.Release(rep.FD)
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, true)
			w.link(w.root, "name", "")
			if err := do(w); err != nil {
				t.Fatal(err)
			}
			rep, err := w.top.Lookup(call, &xlator.LookupReq{Parent: w.root, Name: "name"})
			if must(t, rep, err); rep.Attr.Mode == unix.S_ISVTX {
				t.Error("it is still the link file")
			}
			if len(w.brick.unlink) != 1 || !w.brick.unlink[0].Has("unlink-only-if-dht-linkto-file") || !w.brick.unlink[0].Has("dont-unlink-for-open-fd") {
				t.Errorf("unlinks: %v", w.brick.unlink)
			}
		})
	}
}

func TestFileIsInTheWayOfANewObject(t *testing.T) {
	w := newWorld(t, true)
	w.link(w.root, "name", "data")
	_, err := w.top.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.make("name", 0o755)})
	isErrno(t, "mkdir", err, unix.EEXIST)
	if len(w.brick.unlink) > 0 {
		t.Error("a file with data was removed")
	}
}

func TestDirectoryOfLinkFilesCanBeRemoved(t *testing.T) {
	w := newWorld(t, true)
	call := xlator.Internal()
	d := w.dir(w.root, "d")
	for i := range 5 {
		w.link(d, fmt.Sprint("link", i), "")
	}
	w.dir(d, "sub")
	_, err := w.top.Rmdir(call, &xlator.RmdirReq{Parent: w.root, Name: "d"})
	isErrno(t, "rmdir with a directory in it", err, unix.ENOTEMPTY)
	if got := w.names(w.brick, d, false); len(got) != 6 {
		t.Errorf("left: %q", got)
	}
	_, err = w.top.Rmdir(call, &xlator.RmdirReq{Parent: d, Name: "sub"})
	must(t, 0, err)
	_, err = w.top.Rmdir(call, &xlator.RmdirReq{Parent: w.root, Name: "d"})
	must(t, 0, err)
}

// A volume that always had one brick pays nothing for this.
func TestVolumeOfOneBrickIsNotSearched(t *testing.T) {
	w := newWorld(t, false)
	w.link(w.root, "name", "")
	w.brick.listed = 0
	if got := w.names(w.top, w.root, true); !slices.Equal(got, []string{"name"}) {
		t.Errorf("%q", got)
	}
	if w.brick.listed > 0 {
		t.Error("a plain listing asked for attributes")
	}
}

func TestOptionsOfGlusterFSAreAccepted(t *testing.T) {
	typ := distribute.Type()
	for key, value := range map[string]string{
		"force-migration": "off", "lock-migration": "off", "lookup-unhashed": "auto", "min-free-disk": "10%", "min-free-inodes": "5%",
		"rebal-throttle": "normal", "decommissioned-bricks": "one-client-1", "directory-layout-spread": "2",
	} {
		o, ok := typ.FindOption(key)
		if !ok {
			t.Errorf("%s is unknown", key)
			continue
		}
		if _, err := o.Parse(value); err != nil || !o.Ignored || !o.Live {
			t.Errorf("%s %s: %v, ignored %v", key, value, err, o.Ignored)
		}
	}
}
