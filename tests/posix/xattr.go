package posix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func xattrCases() map[string]Case {
	return map[string]Case{
		"XattrSetGetListRemove":       xattrBasics,
		"XattrFlags":                  xattrFlags,
		"XattrSizes":                  xattrSizes,
		"XattrNamespaces":             xattrNamespaces,
		"XattrOfSpecialFiles":         xattrSpecial,
		"XattrPermissions":            xattrPerm,
		"XattrThroughDescriptor":      xattrFD,
		"CapabilityGoesWithTheWrite":  capability,
		"XattrListShowsNoneOfOurs":    xattrNothingElse,
		"XattrOfOurNamesIsProtected":  xattrInternal,
		"XattrManyOnOneFile":          xattrMany,
		"XattrValueOfAnyBytes":        xattrBytes,
		"XattrIsGoneWithTheFile":      xattrGone,
		"XattrFollowsLinkOrDoesNot":   xattrLink,
		"XattrOfDirectory":            xattrDir,
		"XattrUnlinkedFileKeepsThem":  xattrUnlinked,
		"XattrSecurityIsForRootAlone": xattrSecurity,
	}
}

func getxattr(t *testing.T, path, name string) string {
	t.Helper()
	b := make([]byte, 65536)
	n, err := unix.Lgetxattr(path, name, b)
	ok(t, err, "getxattr "+name)
	return string(b[:n])
}

func noxattr(t *testing.T, path, name string) {
	t.Helper()
	_, err := unix.Lgetxattr(path, name, make([]byte, 100))
	want(t, err, unix.ENODATA, "getxattr "+name)
}

func listxattr(t *testing.T, path string) string {
	t.Helper()
	b := make([]byte, 65536)
	n, err := unix.Llistxattr(path, b)
	ok(t, err, "listxattr")
	all := strings.FieldsFunc(string(b[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(all)
	return strings.Join(all, " ")
}

func setxattr(t *testing.T, path, name, value string) {
	t.Helper()
	ok(t, unix.Lsetxattr(path, name, []byte(value), 0), "setxattr "+name)
}

func xattrBasics(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	equal(t, listxattr(t, f), "", "list of a new file")
	setxattr(t, f, "user.a", "one")
	setxattr(t, f, "user.b", "")
	equal(t, listxattr(t, f), "user.a user.b", "list")
	equal(t, getxattr(t, f, "user.a")+"|"+getxattr(t, f, "user.b"), "one|", "values")
	setxattr(t, f, "user.a", "another and longer")
	equal(t, getxattr(t, f, "user.a"), "another and longer", "changed value")
	ok(t, unix.Removexattr(f, "user.a"), "remove")
	noxattr(t, f, "user.a")
	want(t, unix.Removexattr(f, "user.a"), unix.ENODATA, "remove again")
	equal(t, listxattr(t, f), "user.b", "list")
}

func xattrFlags(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	want(t, unix.Setxattr(f, "user.a", nil, unix.XATTR_REPLACE), unix.ENODATA, "replace of nothing")
	ok(t, unix.Setxattr(f, "user.a", []byte("1"), unix.XATTR_CREATE), "create")
	want(t, unix.Setxattr(f, "user.a", []byte("2"), unix.XATTR_CREATE), unix.EEXIST, "create again")
	equal(t, getxattr(t, f, "user.a"), "1", "value")
	ok(t, unix.Setxattr(f, "user.a", []byte("3"), unix.XATTR_REPLACE), "replace")
	equal(t, getxattr(t, f, "user.a"), "3", "value")
	want(t, unix.Setxattr(f, "user.a", nil, 64), unix.EINVAL, "unknown flag")
}

func xattrSizes(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, "user.a", "0123456789")
	n, err := unix.Getxattr(f, "user.a", nil)
	ok(t, err, "size of a value")
	equal(t, n, 10, "size of a value")
	_, err = unix.Getxattr(f, "user.a", make([]byte, 9))
	want(t, err, unix.ERANGE, "value into too few bytes")
	n, err = unix.Listxattr(f, nil)
	ok(t, err, "size of the list")
	equal(t, n, len("user.a")+1, "size of the list")
	_, err = unix.Listxattr(f, make([]byte, 3))
	want(t, err, unix.ERANGE, "list into too few bytes")
	setxattr(t, f, "user.big", strings.Repeat("v", 2000))
	equal(t, len(getxattr(t, f, "user.big")), 2000, "length of a large value")
	want(t, unix.Setxattr(f, "user.x", make([]byte, 65537), 0), unix.E2BIG, "value over 64 KiB")
	long := "user." + strings.Repeat("n", 250)
	setxattr(t, f, long, "v")
	equal(t, getxattr(t, f, long), "v", "name of 255 bytes")
	want(t, unix.Setxattr(f, long+"n", nil, 0), unix.ERANGE, "name of 256 bytes")
	want(t, unix.Setxattr(f, "user.", nil, 0), unix.EINVAL, "name without a name")
	// 64 KiB fit or do not fit, but are never cut.
	switch err := unix.Setxattr(f, "user.huge", make([]byte, 65536), 0); err {
	case nil:
		equal(t, len(getxattr(t, f, "user.huge")), 65536, "length of 64 KiB")
	case unix.ENOSPC, unix.E2BIG:
		noxattr(t, f, "user.huge")
	default:
		t.Errorf("value of 64 KiB: %v", err)
	}
}

func xattrNamespaces(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, "trusted.mine", "t")
	setxattr(t, f, "security.mine", "s")
	equal(t, getxattr(t, f, "trusted.mine")+getxattr(t, f, "security.mine"), "ts", "values")
	want(t, unix.Setxattr(f, "nonsense.x", nil, 0), unix.EOPNOTSUPP, "unknown namespace")
	want(t, unix.Setxattr(f, "noprefix", nil, 0), unix.EOPNOTSUPP, "no namespace")
	_, err := unix.Getxattr(f, "nonsense.x", make([]byte, 10))
	want(t, err, unix.EOPNOTSUPP, "get in an unknown namespace")
	ok(t, unix.Removexattr(f, "trusted.mine"), "remove")
	noxattr(t, f, "trusted.mine")
}

func xattrSpecial(t *testing.T, dir string) {
	ok(t, unix.Symlink("x", in(dir, "s")), "symlink")
	ok(t, unix.Mkfifo(in(dir, "p"), 0o644), "mkfifo")
	for _, name := range []string{"s", "p"} {
		want(t, unix.Lsetxattr(in(dir, name), "user.a", nil, 0), unix.EPERM, "user attribute of "+name)
		_, err := unix.Lgetxattr(in(dir, name), "user.a", make([]byte, 10))
		want(t, err, unix.ENODATA, "user attribute of "+name)
		setxattr(t, in(dir, name), "trusted.a", "v")
		equal(t, getxattr(t, in(dir, name), "trusted.a"), "v", "trusted attribute of "+name)
	}
}

func xattrPerm(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, "user.a", "v")
	setxattr(t, f, "trusted.a", "v")
	c := as(t, dir, 4242, 4242)
	equal(t, string(c.call(ask{Op: "getxattr", Path: "f", To: "user.a"}).Data), "v", "get with read permission")
	want(t, c.err(ask{Op: "setxattr", Path: "f", To: "user.a"}), unix.EACCES, "set without write permission")
	want(t, c.err(ask{Op: "getxattr", Path: "f", To: "trusted.a"}), unix.ENODATA, "trusted by a user")
	want(t, c.err(ask{Op: "setxattr", Path: "f", To: "trusted.a"}), unix.EPERM, "set trusted by a user")
	ok(t, unix.Chmod(f, 0o622), "chmod")
	want(t, c.err(ask{Op: "getxattr", Path: "f", To: "user.a"}), unix.EACCES, "get without read permission")
	ok(t, c.err(ask{Op: "setxattr", Path: "f", To: "user.a", Data: []byte("w")}), "set with write permission")
	equal(t, getxattr(t, f, "user.a"), "w", "value")
	d := mkdir(t, in(dir, "d"), 0o1777)
	want(t, c.err(ask{Op: "setxattr", Path: "d", To: "user.a"}), unix.EPERM, "set of a sticky directory of another")
	noxattr(t, d, "user.a")
}

func xattrFD(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	ok(t, unix.Fsetxattr(fd, "user.a", []byte("v"), 0), "fsetxattr")
	equal(t, getxattr(t, in(dir, "f"), "user.a"), "v", "value by name")
	b := make([]byte, 100)
	n, err := unix.Fgetxattr(fd, "user.a", b)
	ok(t, err, "fgetxattr")
	equal(t, string(b[:n]), "v", "value")
	n, err = unix.Flistxattr(fd, b)
	ok(t, err, "flistxattr")
	equal(t, string(b[:n]), "user.a\x00", "list")
	ok(t, unix.Fremovexattr(fd, "user.a"), "fremovexattr")
	noxattr(t, in(dir, "f"), "user.a")
}

func xattrUnlinked(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	ok(t, unix.Fsetxattr(fd, "user.a", []byte("v"), 0), "fsetxattr")
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	ok(t, unix.Fsetxattr(fd, "user.b", []byte("w"), 0), "fsetxattr without a name")
	for name, value := range map[string]string{"user.a": "v", "user.b": "w"} {
		b := make([]byte, 10)
		n, err := unix.Fgetxattr(fd, name, b)
		ok(t, err, "fgetxattr without a name")
		equal(t, string(b[:n]), value, name)
	}
}

// capability: security.capability is dropped by a write (VFS rule), also root's.
func capability(t *testing.T, dir string) {
	f := in(dir, "f")
	fd := create(t, f, "x")
	// VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE permitted.
	value := "\x00\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	setxattr(t, f, "security.capability", value)
	equal(t, getxattr(t, f, "security.capability"), value, "value")
	equal(t, listxattr(t, f), "security.capability", "list")
	pread(t, fd, 1, 0)
	equal(t, getxattr(t, f, "security.capability"), value, "value after a read")
	pwrite(t, fd, "y", 0)
	noxattr(t, f, "security.capability")
	setxattr(t, f, "security.capability", value)
	ok(t, unix.Ftruncate(fd, 0), "ftruncate")
	noxattr(t, f, "security.capability")
	setxattr(t, f, "security.capability", value)
	ok(t, unix.Chown(f, 1, 1), "chown")
	noxattr(t, f, "security.capability")
}

// xattrNothingElse: a file system's own attributes are nobody's business.
func xattrNothingElse(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	for _, name := range []string{"f", "d", "s"} {
		equal(t, listxattr(t, in(dir, name)), "", "list of "+name)
	}
}

// xattrInternal: what a user may set under a name that a file system may use
// itself must come back or be refused, and must not do harm.
func xattrInternal(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	ino := stat(t, f).Ino
	for _, name := range []string{"trusted.gfid", "trusted.glusterfs.volume-id", "trusted.afr.x"} {
		if err := unix.Setxattr(f, name, []byte("0123456789abcdef"), 0); err == nil {
			equal(t, getxattr(t, f, name), "0123456789abcdef", name)
		} else {
			equal(t, err == unix.EPERM || err == unix.EOPNOTSUPP || err == unix.EACCES, true, fmt.Sprintf("refusal of %s: %v", name, err))
		}
	}
	equal(t, stat(t, f).Ino, ino, "inode")
	equal(t, content(t, f), "x", "content")
}

func xattrMany(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	n := 0
	for ; n < 100; n++ {
		err := unix.Setxattr(f, fmt.Sprintf("user.%03d", n), fmt.Appendf(nil, "v%d", n), 0)
		if err == unix.ENOSPC {
			break
		}
		ok(t, err, "setxattr")
	}
	equal(t, n > 40, true, "so many fit")
	equal(t, len(strings.Fields(listxattr(t, f))), n, "names in the list")
	for i := range n {
		equal(t, getxattr(t, f, fmt.Sprintf("user.%03d", i)), fmt.Sprintf("v%d", i), "value")
	}
}

func xattrBytes(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	setxattr(t, f, "user.all", string(all))
	equal(t, getxattr(t, f, "user.all"), string(all), "value")
	setxattr(t, f, "user.\xff\x01 =", "odd")
	equal(t, getxattr(t, f, "user.\xff\x01 ="), "odd", "value of an odd name")
}

func xattrGone(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, "user.a", "v")
	ok(t, unix.Unlink(f), "unlink")
	put(t, f, "y")
	noxattr(t, f, "user.a")
	want(t, unix.Setxattr(in(dir, "none"), "user.a", nil, 0), unix.ENOENT, "setxattr of nothing")
}

func xattrLink(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	ok(t, unix.Setxattr(in(dir, "s"), "trusted.a", []byte("target"), 0), "setxattr through the link")
	setxattr(t, in(dir, "s"), "trusted.a", "link")
	equal(t, getxattr(t, in(dir, "f"), "trusted.a")+" "+getxattr(t, in(dir, "s"), "trusted.a"), "target link", "values")
	ok(t, unix.Link(in(dir, "f"), in(dir, "h")), "link")
	setxattr(t, in(dir, "h"), "trusted.a", "both")
	equal(t, getxattr(t, in(dir, "f"), "trusted.a"), "both", "value by the other name")
}

func xattrDir(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	setxattr(t, d, "user.a", "v")
	put(t, in(d, "f"), "x")
	noxattr(t, in(d, "f"), "user.a")
	ok(t, unix.Rename(d, in(dir, "e")), "rename")
	equal(t, getxattr(t, in(dir, "e"), "user.a"), "v", "value after rename")
}

func xattrSecurity(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	setxattr(t, in(dir, "f"), "security.mine", "v")
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	c := as(t, dir, 4242, 4242)
	want(t, c.err(ask{Op: "setxattr", Path: "f", To: "security.mine", Data: []byte("w")}), unix.EPERM, "set by the owner")
	equal(t, getxattr(t, in(dir, "f"), "security.mine"), "v", "value")
}
