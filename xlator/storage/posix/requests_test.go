package posix

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// base is the number of the base fd that requests of open files are about.
const base = 77

func requestNamed(name string) *request {
	for i := range requests {
		if requests[i].name == name {
			return &requests[i]
		}
	}
	return nil
}

// Short words for what is on disk before. Files are known by number: the gfid is
// fixed(n).

func (b *brick) req(parent byte, name string, mode uint32, gfid xlator.GFID) xlator.MakeReq {
	i := b.root
	if parent != 0 {
		i = b.node(parent, xlator.TypeDirectory)
	}
	return xlator.MakeReq{Parent: i, Name: name, GFID: gfid, Mode: mode, Umask: 0o022}
}

// node is an Inode as a node that was restored gets it: by identity alone.
func (b *brick) node(n byte, typ xlator.FileType) *xlator.Inode {
	if n == 0 {
		return b.root
	}
	return b.w.Inodes.Get(fixed(n), typ)
}

func (b *brick) haveFile(n, parent byte, name string) {
	b.t.Helper()
	rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.req(parent, name, 0o644, fixed(n)), Flags: unix.O_RDWR | unix.O_CREAT | unix.O_EXCL})
	b.must(err)
	b.write(rep.FD, "content of "+name, 0)
	b.Release(rep.FD)
}

func (b *brick) haveDir(n, parent byte, name string) {
	b.t.Helper()
	_, err := b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.req(parent, name, 0o755, fixed(n))})
	b.must(err)
}

func (b *brick) haveLink(n, parent byte, name string) {
	b.t.Helper()
	_, err := b.Link(b.ctx, &xlator.LinkReq{Inode: b.node(n, xlator.TypeRegular), Parent: b.node(parent, xlator.TypeDirectory), Name: name})
	b.must(err)
}

func (b *brick) haveXattr(n byte, typ xlator.FileType, name, value string) {
	b.t.Helper()
	_, err := b.Setxattr(b.ctx, &xlator.SetxattrReq{Inode: b.node(n, typ), Xattrs: dict(name, value)})
	b.must(err)
}

func dict(name, value string) *xlator.Dict {
	d := &xlator.Dict{}
	d.SetBytes(name, []byte(value))
	return d
}

// opened is the base fd of a file, opened or found open.
func (b *brick) opened(n byte) *xlator.FD {
	b.t.Helper()
	rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: b.node(n, xlator.TypeRegular), Flags: unix.O_RDWR, Base: base, Reopen: true})
	b.must(err)
	return rep.FD
}

func opens(n byte) func(*brick) { return func(b *brick) { b.opened(n) } }

// defaultACL has a named user, so that what is made gets an ACL of its own.
var defaultACL = string(acl{
	{aclUserObj, 7, ^uint32(0)}, {aclUser, 5, 1000}, {aclGroupObj, 5, ^uint32(0)}, {aclMask, 7, ^uint32(0)}, {aclOther, 0, ^uint32(0)},
}.bytes())

// inherits makes folder 1 one whose children inherit group and ACL.
func inherits(b *brick) {
	b.haveDir(1, 0, "d")
	b.haveXattr(1, xlator.TypeDirectory, xattrDefault, defaultACL)
	_, err := b.Setattr(b.ctx, &xlator.SetattrReq{Inode: b.node(1, xlator.TypeDirectory), Setattr: xlator.Setattr{
		Mask: xlator.SetGID | xlator.SetMode, GID: 500, Mode: 0o2775}})
	b.must(err)
}

func creates(parent byte, name string, flags uint32) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.req(parent, name, 0o666, fixed(200)), Flags: unix.O_RDWR | unix.O_CREAT | flags, Base: base})
		return plain(rep, err)
	}
}

func mkdirs(parent byte, name string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.req(parent, name, 0o777, fixed(200))})
		return plain(rep, err)
	}
}

func symlinks(name, target string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.req(0, name, 0o777, fixed(200)), Target: target})
		return plain(rep, err)
	}
}

func mknods(parent byte, name string, typ xlator.FileType, rdev uint64) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Mknod(b.ctx, &xlator.MknodReq{MakeReq: b.req(parent, name, 0o666, fixed(200)), Type: typ, Rdev: rdev})
		return plain(rep, err)
	}
}

func unlinks(parent byte, name string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.node(parent, xlator.TypeDirectory), Name: name})
		return plain(rep, err)
	}
}

func rmdirs(parent byte, name string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.node(parent, xlator.TypeDirectory), Name: name})
		return plain(rep, err)
	}
}

func renames(from byte, old string, to byte, name string, flags uint32) func(*brick) string {
	return func(b *brick) string {
		return plain(b.rename(b.node(from, xlator.TypeDirectory), old, b.node(to, xlator.TypeDirectory), name, flags))
	}
}

func links(n, parent byte, name string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Link(b.ctx, &xlator.LinkReq{Inode: b.node(n, xlator.TypeRegular), Parent: b.node(parent, xlator.TypeDirectory), Name: name})
		return plain(rep, err)
	}
}

func setxattrs(n byte, name, value string, flags uint32) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Setxattr(b.ctx, &xlator.SetxattrReq{Inode: b.node(n, xlator.TypeRegular), Xattrs: dict(name, value), Flags: flags, KillSGID: true})
		return plain(rep, err)
	}
}

func removexattrs(n byte, name string) func(*brick) string {
	return func(b *brick) string {
		rep, err := b.Removexattr(b.ctx, &xlator.RemovexattrReq{Inode: b.node(n, xlator.TypeRegular), Name: name})
		return plain(rep, err)
	}
}

// f is a file with the number 1, in the root.
func f(b *brick) { b.haveFile(1, 0, "f") }

// twoDirs are folders 1 and 2, with a file and a folder in each.
func twoDirs(b *brick) {
	b.haveDir(1, 0, "d1")
	b.haveDir(2, 0, "d2")
	b.haveFile(11, 1, "f")
	b.haveFile(12, 2, "f")
	b.haveDir(21, 1, "e")
	b.haveDir(22, 2, "e")
	b.haveFile(31, 21, "in")
}

func and(fs ...func(*brick)) func(*brick) {
	return func(b *brick) {
		for _, f := range fs {
			f(b)
		}
	}
}

// alsoNamed gives a file another name, in the root.
func alsoNamed(n byte, name string) func(*brick) { return func(b *brick) { b.haveLink(n, 0, name) } }

// nameless is file 1, without a name and open.
func nameless(b *brick) {
	rep, err := b.Icreate(b.ctx, &xlator.IcreateReq{MakeReq: b.req(0, "", 0o600, fixed(1)), Flags: unix.O_RDWR, Base: base})
	b.must(err)
	b.write(rep.FD, "no name", 0)
	b.die()
}

// behindOurBack is a file that is there without our doing.
func behindOurBack(b *brick) {
	fd, err := unix.Open(b.path("plain"), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	b.must(err)
	b.must(unix.Fsetxattr(fd, xattrGFID, gfidBytes(1), 0))
	unix.Close(fd)
}

func gfidBytes(n byte) []byte { g := fixed(n); return g[:] }

// plainFolder makes the brick what it was before its first mount: a folder with
// data.
func plainFolder(b *brick) {
	b.t.Helper()
	b.must(os.Mkdir(b.path("d"), 0o755))
	b.must(os.WriteFile(b.path("d", "f"), []byte("data"), 0o644))
	b.must(os.RemoveAll(b.path(metaName)))
	for _, name := range []string{xattrGFID, xattrVolume, xattrMark} {
		b.must(unix.Removexattr(b.dir, name))
	}
}

// leftovers is what a crash may leave in the staging and unlink folders: half a
// file, folder and FIFO, a renamed folder's handle and one that is not, a file
// that is open and one that is not, a folder being removed and one that is gone.
func leftovers(b *brick) {
	b.t.Helper()
	twoDirs(b)
	b.haveFile(3, 0, "f")
	staged := func(name string) string { return b.path(metaName, stagingName, name) }
	orphan := func(n byte) string { return b.path(metaName, orphansName, fixed(n).String()) }
	name := func(n byte) string { return fixed(n).String() + ".1" }
	b.must(os.WriteFile(staged(name(51)), nil, 0o600))
	b.must(os.Mkdir(staged(name(52)), 0o700))
	b.must(unix.Mkfifo(staged(name(53)), 0o600))
	for _, n := range []byte{51, 52, 53, 54} {
		b.must(os.MkdirAll(filepath.Dir(b.handle(fixed(n))), 0o700))
	}
	b.must(os.Link(staged(name(53)), b.handle(fixed(53))))
	b.must(os.Symlink(dirTarget(fixed(1), "new"), b.handle(fixed(52))))
	b.must(os.Rename(b.path("d1", "e"), b.path("d2", "moved")))
	b.must(os.Symlink(dirTarget(fixed(2), "moved"), staged(preparedPrefix+name(21))))
	b.must(os.Symlink(dirTarget(fixed(1), "new"), staged(preparedPrefix+name(22))))
	b.must(os.Link(b.handle(fixed(2)), orphan(2)))
	b.must(os.Symlink(dirTarget(fixed(1), "gone"), b.handle(fixed(54))))
	b.must(os.Link(b.handle(fixed(54)), orphan(54)))
	b.must(os.Rename(b.handle(fixed(3)), orphan(3)))
	b.haveFile(61, 0, "open")
	b.haveFile(62, 0, "closed")
	for n, path := range map[byte]string{61: "open", 62: "closed"} {
		b.must(os.Rename(b.handle(fixed(n)), orphan(n)))
		b.must(os.Remove(b.path(path)))
	}
}

var requests = []request{
	{name: "first start", disk: plainFolder, act: unlinks(0, "none"), from: markStart},
	{name: "start after a crash", disk: leftovers, users: []byte{61}, act: unlinks(0, "none"), from: markStart},

	{name: "create exclusively", act: creates(0, "n", unix.O_EXCL)},
	{name: "create", act: creates(0, "n", 0)},
	{name: "create in a folder with a default ACL", disk: inherits, act: creates(1, "n", 0)},
	{name: "create what is there", disk: f, act: creates(0, "f", 0)},
	{name: "create and cut what is there", disk: f, act: creates(0, "f", unix.O_TRUNC)},
	{name: "create exclusively what is there", disk: f, act: creates(0, "f", unix.O_EXCL)},
	{name: "create without a name", act: func(b *brick) string {
		rep, err := b.Icreate(b.ctx, &xlator.IcreateReq{MakeReq: b.req(0, "", 0o600, fixed(200)), Flags: unix.O_RDWR, Base: base})
		s := plain(rep, err)
		if err == nil { // the base fd is on record before anybody sweeps
			b.Runtime().users.(*users).count(fixed(200), 1)
		}
		return s
	}},
	{name: "mkdir", act: mkdirs(0, "n")},
	{name: "mkdir in a folder with a default ACL", disk: inherits, act: mkdirs(1, "n")},
	{name: "mkdir of what is there", disk: f, act: mkdirs(0, "f")},
	{name: "symlink", act: symlinks("n", "to/nowhere")},
	{name: "symlink that looks like a handle", act: symlinks("n", dirTarget(xlator.RootGFID, "n"))},
	{name: "mknod of a file", disk: inherits, act: mknods(1, "n", xlator.TypeRegular, 0)},
	{name: "mknod of a file that is there", disk: f, act: mknods(0, "f", xlator.TypeRegular, 0)},
	{name: "mknod of a FIFO", disk: inherits, act: mknods(1, "n", xlator.TypeFIFO, 0)},
	{name: "mknod of a device", act: mknods(0, "n", xlator.TypeChar, unix.Mkdev(1, 3))},

	{name: "unlink", disk: f, act: unlinks(0, "f")},
	{name: "unlink of an open file", disk: f, open: opens(1), users: []byte{1}, act: unlinks(0, "f")},
	{name: "unlink of a file that is open on record", disk: f, users: []byte{1}, act: unlinks(0, "f")},
	{name: "unlink of one of two names", disk: and(f, alsoNamed(1, "g")), act: unlinks(0, "f")},
	{name: "unlink of one of two names of an open file", disk: and(f, alsoNamed(1, "g")), open: opens(1), users: []byte{1}, act: unlinks(0, "f")},
	{name: "unlink of a symlink", disk: func(b *brick) {
		_, err := b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.req(0, "l", 0o777, fixed(1)), Target: "x"})
		b.must(err)
	}, act: unlinks(0, "l")},
	{name: "unlink of a file without a handle", disk: behindOurBack, act: unlinks(0, "plain")},
	{name: "unlink of a file without a handle that is open on record", disk: behindOurBack, users: []byte{1}, act: unlinks(0, "plain")},
	{name: "unlink of nothing", act: unlinks(0, "n")},
	{name: "unlink of a folder", disk: twoDirs, act: unlinks(1, "e")},
	{name: "rmdir", disk: twoDirs, act: rmdirs(2, "e")},
	{name: "rmdir of what is not empty", disk: twoDirs, act: rmdirs(1, "e")},
	{name: "rmdir of a file", disk: f, act: rmdirs(0, "f")},

	{name: "rename", disk: f, act: renames(0, "f", 0, "g", 0)},
	{name: "rename to another folder", disk: twoDirs, act: renames(1, "f", 2, "g", 0)},
	{name: "rename without replacing", disk: twoDirs, act: renames(1, "f", 2, "g", unix.RENAME_NOREPLACE)},
	{name: "rename without replacing, of a folder", disk: twoDirs, act: renames(1, "e", 2, "g", unix.RENAME_NOREPLACE)},
	{name: "rename without replacing what is there", disk: twoDirs, act: renames(1, "f", 2, "f", unix.RENAME_NOREPLACE)},
	{name: "rename over a file", disk: twoDirs, act: renames(1, "f", 2, "f", 0)},
	{name: "rename over an open file", disk: twoDirs, open: opens(12), users: []byte{12}, act: renames(1, "f", 2, "f", 0)},
	{name: "rename over a file that is open on record", disk: twoDirs, users: []byte{12}, act: renames(1, "f", 2, "f", 0)},
	{name: "rename of an open file over another", disk: twoDirs, open: opens(11), users: []byte{11}, act: renames(1, "f", 2, "f", 0)},
	{name: "rename over one of two names", disk: and(twoDirs, alsoNamed(12, "g")), act: renames(1, "f", 2, "f", 0)},
	{name: "rename of one of two names", disk: and(twoDirs, alsoNamed(11, "g")), act: renames(1, "f", 2, "f", 0)},
	{name: "rename over another name of the same file", disk: and(f, alsoNamed(1, "g")), act: renames(0, "f", 0, "g", 0)},
	{name: "rename onto itself", disk: f, act: renames(0, "f", 0, "f", 0)},
	{name: "rename of a folder", disk: twoDirs, act: renames(1, "e", 1, "g", 0)},
	{name: "rename of a folder to another", disk: twoDirs, act: renames(1, "e", 2, "g", 0)},
	{name: "rename of a folder over an empty one", disk: twoDirs, act: renames(1, "e", 2, "e", 0)},
	{name: "rename of a folder over one that is not empty", disk: twoDirs, act: renames(2, "e", 1, "e", 0)},
	{name: "rename of a folder into itself", disk: twoDirs, act: renames(0, "d1", 21, "x", 0)},
	{name: "rename of nothing", disk: twoDirs, act: renames(0, "n", 1, "x", 0)},
	{name: "exchange of files", disk: twoDirs, act: renames(1, "f", 2, "f", unix.RENAME_EXCHANGE)},
	{name: "exchange of folders", disk: twoDirs, act: renames(1, "e", 2, "e", unix.RENAME_EXCHANGE)},
	{name: "exchange of a file and a folder", disk: twoDirs, act: renames(1, "f", 2, "e", unix.RENAME_EXCHANGE)},
	{name: "exchange in one folder", disk: twoDirs, act: renames(1, "f", 1, "e", unix.RENAME_EXCHANGE)},
	{name: "exchange of two names of one file", disk: and(f, alsoNamed(1, "g")), act: renames(0, "f", 0, "g", unix.RENAME_EXCHANGE)},
	{name: "exchange with nothing", disk: f, act: renames(0, "f", 0, "n", unix.RENAME_EXCHANGE)},

	{name: "link", disk: twoDirs, act: links(11, 2, "g")},
	{name: "link to what is there", disk: twoDirs, act: links(11, 2, "f")},
	{name: "link of what has the name already", disk: and(f, alsoNamed(1, "g")), act: links(1, 0, "g")},
	{name: "link of a file without a name", disk: nameless, users: []byte{1}, act: links(1, 0, "n")},
	{name: "link of a file without a name to what is there", disk: and(func(b *brick) { b.haveFile(2, 0, "n") }, nameless), users: []byte{1}, act: links(1, 0, "n")},

	{name: "setxattr", disk: f, act: setxattrs(1, "trusted.a", "v", 0)},
	{name: "setxattr that creates", disk: f, act: setxattrs(1, "trusted.a", "v", unix.XATTR_CREATE)},
	{name: "setxattr that creates what is there", disk: and(f, func(b *brick) { b.haveXattr(1, xlator.TypeRegular, "trusted.a", "v") }),
		act: setxattrs(1, "trusted.a", "v", unix.XATTR_CREATE)},
	{name: "setxattr that replaces", disk: and(f, func(b *brick) { b.haveXattr(1, xlator.TypeRegular, "trusted.a", "v") }),
		act: setxattrs(1, "trusted.a", "w", unix.XATTR_REPLACE)},
	{name: "setxattr that replaces nothing", disk: f, act: setxattrs(1, "trusted.a", "w", unix.XATTR_REPLACE)},
	{name: "setxattr of an ACL", disk: f, act: setxattrs(1, xattrAccess, defaultACL, 0)},
	{name: "removexattr", disk: and(f, func(b *brick) { b.haveXattr(1, xlator.TypeRegular, "trusted.a", "v") }), act: removexattrs(1, "trusted.a")},
	{name: "removexattr of nothing", disk: f, act: removexattrs(1, "trusted.a")},

	{name: "setattr", disk: f, act: func(b *brick) string {
		rep, err := b.Setattr(b.ctx, &xlator.SetattrReq{Inode: b.node(1, xlator.TypeRegular), Setattr: xlator.Setattr{
			Mask: xlator.SetUID | xlator.SetGID | xlator.SetMode | xlator.SetMtime, UID: 3, GID: 4, Mode: 0o4755, Mtime: xlator.Time{Sec: 5}}})
		return plain(rep, err)
	}},
	{name: "truncate", disk: f, act: func(b *brick) string {
		rep, err := b.Truncate(b.ctx, &xlator.TruncateReq{Inode: b.node(1, xlator.TypeRegular), Size: 4})
		return plain(rep, err)
	}},
	{name: "ftruncate", disk: f, open: opens(1), users: []byte{1}, act: func(b *brick) string {
		rep, err := b.Ftruncate(b.ctx, &xlator.FtruncateReq{FD: b.opened(1), Size: 40})
		return plain(rep, err)
	}},
	{name: "write", disk: f, open: opens(1), users: []byte{1}, act: func(b *brick) string {
		rep, err := b.Writev(b.ctx, &xlator.WritevReq{FD: b.opened(1), Payload: xlator.Payload{Bytes: []byte("written")}, Offset: 8, KillPriv: true})
		return plain(rep, err)
	}},
	{name: "fallocate", disk: f, open: opens(1), users: []byte{1}, act: func(b *brick) string {
		rep, err := b.Fallocate(b.ctx, &xlator.FallocateReq{FD: b.opened(1), Mode: 0, Offset: 0, Len: 100, KillPriv: true})
		return plain(rep, err)
	}},
	{name: "copy_file_range", disk: func(b *brick) { f(b); b.haveFile(2, 0, "g") }, open: opens(1), users: []byte{1, 2}, act: func(b *brick) string {
		dst, err := b.Open(b.ctx, &xlator.OpenReq{Inode: b.node(2, xlator.TypeRegular), Flags: unix.O_RDWR, Base: base + 1, Reopen: true})
		b.must(err)
		rep, err := b.CopyFileRange(b.ctx, &xlator.CopyFileRangeReq{Src: b.opened(1), Dst: dst.FD, Len: 7, DstOff: 3})
		return plain(rep, err)
	}},
}
