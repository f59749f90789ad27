package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func ownerCases() map[string]Case {
	return map[string]Case{
		"ChmodSetsTheMode":              chmodSets,
		"ChownSetsTheOwner":             chownSets,
		"ChownByUsers":                  chownUsers,
		"ChownClearsSetID":              chownClears,
		"WriteClearsSetID":              writeClears,
		"TruncateClearsSetID":           truncateClears,
		"ChmodDropsForeignSetGID":       chmodSetgid,
		"SetGIDDirectoryIsInherited":    setgidDir,
		"UmaskCuts":                     umaskCuts,
		"NewFilesBelongToTheirMaker":    makerOwns,
		"CreateModesKeepSetIDAndSticky": createModes,
	}
}

func chmodSets(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	mkdir(t, in(dir, "d"), 0o755)
	for _, mode := range []uint32{0, 0o777, 0o644, 0o4755, 0o2755, 0o1777, 0o6777, 0o7777, 0o100} {
		for _, name := range []string{"f", "d"} {
			ok(t, unix.Chmod(in(dir, name), mode), "chmod")
			equal(t, perm(t, in(dir, name)), mode, "mode of "+name)
		}
		ok(t, unix.Fchmod(fd, mode^0o111), "fchmod")
		equal(t, fstat(t, fd).Mode, unix.S_IFREG|mode^0o111, "mode through the descriptor")
		equal(t, perm(t, in(dir, "f")), mode^0o111, "mode by name")
	}
	want(t, unix.Chmod(in(dir, "no"), 0o644), unix.ENOENT, "chmod of nothing")
	ok(t, unix.Chmod(in(dir, "d"), 0o755), "chmod")
}

func chownSets(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	owner := func(u, g uint32, what string) {
		t.Helper()
		st := stat(t, in(dir, "f"))
		equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{u, g}, what)
	}
	ok(t, unix.Chown(in(dir, "f"), 10, 20), "chown")
	owner(10, 20, "both")
	ok(t, unix.Chown(in(dir, "f"), -1, 30), "chown")
	owner(10, 30, "group only")
	ok(t, unix.Fchown(fd, 4_000_000_000, -1), "fchown")
	owner(4_000_000_000, 30, "a large number")
	ok(t, unix.Chown(in(dir, "f"), -1, -1), "chown")
	owner(4_000_000_000, 30, "neither")
}

func chownUsers(t *testing.T, dir string) {
	put(t, in(dir, "f"), "")
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	c := as(t, dir, 4242, 4242, 4242, 5000)
	want(t, c.err(ask{Op: "chown", Path: "f", UID: 4343, GID: -1}), unix.EPERM, "give away")
	ok(t, c.err(ask{Op: "chown", Path: "f", UID: -1, GID: 5000}), "to one of one's own groups")
	equal(t, stat(t, in(dir, "f")).Gid, 5000, "group")
	want(t, c.err(ask{Op: "chown", Path: "f", UID: -1, GID: 6000}), unix.EPERM, "to another group")
	ok(t, c.err(ask{Op: "chmod", Path: "f", Mode: 0o600}), "chmod by the owner")
	other := as(t, dir, 4343, 4242)
	want(t, other.err(ask{Op: "chmod", Path: "f", Mode: 0o666}), unix.EPERM, "chmod by another")
	want(t, other.err(ask{Op: "chown", Path: "f", UID: -1, GID: 4242}), unix.EPERM, "chown by another")
}

func chownClears(t *testing.T, dir string) {
	put(t, in(dir, "f"), "")
	ok(t, unix.Chmod(in(dir, "f"), 0o6755), "chmod")
	ok(t, unix.Chown(in(dir, "f"), 10, 20), "chown by root")
	equal(t, perm(t, in(dir, "f")), 0o755, "mode after chown")
	ok(t, unix.Chmod(in(dir, "f"), 0o2644), "chmod") // no group execution: mandatory locking of old
	ok(t, unix.Chown(in(dir, "f"), 11, 20), "chown")
	equal(t, perm(t, in(dir, "f")), 0o2644, "setgid without group execution")
	mkdir(t, in(dir, "d"), 0o6755)
	ok(t, unix.Chown(in(dir, "d"), 10, 20), "chown of a directory")
	equal(t, perm(t, in(dir, "d")), 0o6755, "mode of a directory")
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	ok(t, unix.Chmod(in(dir, "f"), 0o6755), "chmod")
	c := as(t, dir, 4242, 4242, 5000)
	ok(t, c.err(ask{Op: "chown", Path: "f", UID: -1, GID: 5000}), "chown by the owner")
	equal(t, perm(t, in(dir, "f")), 0o755, "mode after the owner's chown")
}

func writeClears(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	c := as(t, dir, 4242, 4242)
	for _, m := range []struct{ before, after uint32 }{{0o6777, 0o777}, {0o4666, 0o666}, {0o2676, 0o676}} {
		ok(t, unix.Chmod(in(dir, "f"), m.before), "chmod")
		fd, err := c.open("f", unix.O_RDWR, 0)
		ok(t, err, "open")
		equal(t, perm(t, in(dir, "f")), m.before, "mode after open")
		ok(t, c.err(ask{Op: "pwrite", FD: fd, Data: []byte("x")}), "write by a user")
		equal(t, perm(t, in(dir, "f")), m.after, "mode after a user's write")
		ok(t, c.err(ask{Op: "close", FD: fd}), "close")
	}
	ok(t, unix.Chmod(in(dir, "f"), 0o6777), "chmod")
	fd := open(t, in(dir, "f"), unix.O_RDWR, 0)
	pwrite(t, fd, "y", 0)
	equal(t, perm(t, in(dir, "f")), 0o6777, "mode after root's write")
}

func truncateClears(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abcdef")
	ok(t, unix.Chmod(in(dir, "f"), 0o6777), "chmod")
	c := as(t, dir, 4242, 4242)
	ok(t, c.err(ask{Op: "truncate", Path: "f", Len: 3}), "truncate by a user")
	equal(t, perm(t, in(dir, "f")), 0o777, "mode after truncate")
	ok(t, unix.Chmod(in(dir, "f"), 0o4777), "chmod")
	fd, err := c.open("f", unix.O_RDWR|unix.O_TRUNC, 0)
	ok(t, err, "open with O_TRUNC")
	equal(t, perm(t, in(dir, "f")), 0o777, "mode after O_TRUNC")
	ok(t, unix.Chmod(in(dir, "f"), 0o4777), "chmod")
	ok(t, c.err(ask{Op: "fallocate", FD: fd, Off: 0, Len: 100}), "fallocate")
	equal(t, perm(t, in(dir, "f")), 0o777, "mode after fallocate")
}

func chmodSetgid(t *testing.T, dir string) {
	put(t, in(dir, "f"), "")
	ok(t, unix.Chown(in(dir, "f"), 4242, 5000), "chown")
	c := as(t, dir, 4242, 4242)
	ok(t, c.err(ask{Op: "chmod", Path: "f", Mode: 0o2755}), "setgid of a group that one is not in")
	equal(t, perm(t, in(dir, "f")), 0o755, "mode")
	member := as(t, dir, 4242, 4242, 5000)
	ok(t, member.err(ask{Op: "chmod", Path: "f", Mode: 0o2755}), "setgid of a group that one is in")
	equal(t, perm(t, in(dir, "f")), 0o2755, "mode")
}

func setgidDir(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	ok(t, unix.Chown(in(dir, "d"), 0, 5000), "chown")
	ok(t, unix.Chmod(in(dir, "d"), 0o2777), "chmod")
	c := as(t, in(dir, "d"), 4242, 4242)
	c.call(ask{Op: "umask", Mode: 0})
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o666)
	ok(t, err, "create")
	ok(t, c.err(ask{Op: "mkdir", Path: "sub", Mode: 0o777}), "mkdir")
	ok(t, c.err(ask{Op: "mknod", Path: "p", Mode: unix.S_IFIFO | 0o666}), "mknod")
	ok(t, c.err(ask{Op: "symlink", Path: "s", To: "f"}), "symlink")
	for _, name := range []string{"f", "sub", "p", "s"} {
		st := stat(t, in(dir, "d/"+name))
		equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{4242, 5000}, "owner of "+name)
	}
	equal(t, perm(t, in(dir, "d/sub")), 0o2777, "mode of the directory")
	equal(t, perm(t, in(dir, "d/f")), 0o666, "mode of the file")
	_, err = c.open("g", unix.O_RDWR|unix.O_CREAT, 0o2777)
	ok(t, err, "create")
	equal(t, perm(t, in(dir, "d/g")), 0o777, "setgid of a group that one is not in")
}

func umaskCuts(t *testing.T, dir string) {
	c := start(t, dir)
	c.call(ask{Op: "umask", Mode: 0o027})
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o666)
	ok(t, err, "create")
	ok(t, c.err(ask{Op: "mkdir", Path: "d", Mode: 0o777}), "mkdir")
	ok(t, c.err(ask{Op: "mknod", Path: "p", Mode: unix.S_IFIFO | 0o666}), "mknod")
	_, err = c.open(".", unix.O_RDWR|unix.O_TMPFILE, 0o666)
	ok(t, err, "O_TMPFILE")
	equal(t, perm(t, in(dir, "f")), 0o640, "mode of a file")
	equal(t, perm(t, in(dir, "d")), 0o750, "mode of a directory")
	equal(t, perm(t, in(dir, "p")), 0o640, "mode of a FIFO")
	ok(t, c.err(ask{Op: "chmod", Path: "f", Mode: 0o666}), "chmod")
	equal(t, perm(t, in(dir, "f")), 0o666, "chmod knows no umask")
}

func makerOwns(t *testing.T, dir string) {
	ok(t, unix.Chmod(dir, 0o777), "chmod")
	c := as(t, dir, 4242, 4343, 5000)
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o600)
	ok(t, err, "create")
	ok(t, c.err(ask{Op: "mkdir", Path: "d", Mode: 0o700}), "mkdir")
	ok(t, c.err(ask{Op: "symlink", Path: "s", To: "x"}), "symlink")
	for _, name := range []string{"f", "d", "s"} {
		st := stat(t, in(dir, name))
		equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{4242, 4343}, "owner of "+name)
	}
	fd, err := c.open(".", unix.O_RDWR|unix.O_TMPFILE, 0o600)
	ok(t, err, "O_TMPFILE")
	st := c.call(ask{Op: "fstat", FD: fd}).Stat
	equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{4242, 4343}, "owner of a file without a name")
}

func createModes(t *testing.T, dir string) {
	c := start(t, dir)
	c.call(ask{Op: "umask", Mode: 0})
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o6751)
	ok(t, err, "create")
	equal(t, perm(t, in(dir, "f")), 0o6751, "mode of a file")
	ok(t, c.err(ask{Op: "mkdir", Path: "d", Mode: 0o1777}), "mkdir")
	equal(t, perm(t, in(dir, "d")), 0o1777, "mode of a directory")
}
