package posix

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func aclCases() map[string]Case {
	return map[string]Case{
		"ACLIsEnforced":              aclEnforced,
		"ACLAndModeFollowEachOther":  aclMode,
		"ACLDefaultIsInherited":      aclInherited,
		"ACLDefaultReplacesUmask":    aclUmask,
		"ACLMinimalBecomesTheMode":   aclMinimal,
		"ACLBadOnesAreRefused":       aclBad,
		"ACLPermissions":             aclPermissions,
		"ACLIsRemoved":               aclRemoved,
		"ACLDefaultOnlyOnDirectory":  aclDefaultFile,
		"ACLOfGroups":                aclGroups,
		"ACLIsInheritedByAllTypes":   aclTypes,
		"ACLChangeCountsAtOnce":      aclAtOnce,
		"ACLSetgidIsDroppedWithMask": aclSetgid,
	}
}

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// Tags of the entries of an ACL (include/uapi/linux/posix_acl.h).
const (
	userObj  = 0x01
	user     = 0x02
	groupObj = 0x04
	group    = 0x08
	mask     = 0x10
	other    = 0x20
)

type entry struct {
	tag, perm uint16
	id        uint32
}

const noID = ^uint32(0)

// acl is the value of the attribute (posix_acl_xattr.h): version 2, entries of
// tag, permission and id.
func acl(entries ...entry) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// full is an ACL with one named user and one named group.
func full(owner, named, grp, namedGroup, msk, oth uint16) string {
	return acl(entry{userObj, owner, noID}, entry{user, named, 4242}, entry{groupObj, grp, noID},
		entry{group, namedGroup, 5000}, entry{mask, msk, noID}, entry{other, oth, noID})
}

func aclText(s string) string {
	if len(s) < 4 || binary.LittleEndian.Uint32([]byte(s)) != 2 {
		return fmt.Sprintf("%x", s)
	}
	var out []string
	for b := []byte(s[4:]); len(b) >= 8; b = b[8:] {
		le := binary.LittleEndian
		out = append(out, fmt.Sprintf("%x:%d:%o", le.Uint16(b), int32(le.Uint32(b[4:])), le.Uint16(b[2:])))
	}
	return fmt.Sprint(out)
}

func isACL(t *testing.T, path, name, value, what string) {
	t.Helper()
	equal(t, aclText(getxattr(t, path, name)), aclText(value), what)
}

func aclEnforced(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	ok(t, unix.Chmod(f, 0o600), "chmod")
	named, stranger := as(t, dir, 4242, 4242), as(t, dir, 4343, 4343)
	_, err := named.open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read before")
	setxattr(t, f, accessACL, full(6, 4, 0, 0, 4, 0))
	_, err = named.open("f", unix.O_RDONLY, 0)
	ok(t, err, "read by the named user")
	_, err = named.open("f", unix.O_WRONLY, 0)
	want(t, err, unix.EACCES, "write by the named user")
	_, err = stranger.open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read by a stranger")
	setxattr(t, f, accessACL, full(6, 6, 6, 6, 4, 6))
	_, err = named.open("f", unix.O_WRONLY, 0)
	want(t, err, unix.EACCES, "write that the mask forbids")
	_, err = stranger.open("f", unix.O_WRONLY, 0)
	ok(t, err, "write by others, which the mask is not about")
	setxattr(t, f, accessACL, full(6, 0, 6, 6, 6, 6))
	_, err = named.open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read by a named user who is shut out")
}

func aclGroups(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, accessACL, full(6, 0, 0, 4, 7, 0))
	_, err := as(t, dir, 4343, 4343, 5000).open("f", unix.O_RDONLY, 0)
	ok(t, err, "read by a member of the named group")
	_, err = as(t, dir, 4343, 5000).open("f", unix.O_WRONLY, 0)
	want(t, err, unix.EACCES, "write by a member of the named group")
	_, err = as(t, dir, 4242, 5000).open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "the named user's entry comes first")
}

func aclMode(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, accessACL, full(7, 6, 5, 4, 6, 1))
	equal(t, perm(t, f), 0o761, "mode: owner, mask, others")
	ok(t, unix.Chmod(f, 0o640), "chmod")
	isACL(t, f, accessACL, full(6, 6, 5, 4, 4, 0), "ACL after chmod")
	ok(t, unix.Chmod(f, 0o4755), "chmod")
	isACL(t, f, accessACL, full(7, 6, 5, 4, 5, 5), "ACL after chmod")
	equal(t, perm(t, f), 0o4755, "mode")
	fd := open(t, f, unix.O_RDONLY, 0)
	ok(t, unix.Fchmod(fd, 0o600), "fchmod")
	isACL(t, f, accessACL, full(6, 6, 5, 4, 0, 0), "ACL after fchmod")
	equal(t, listxattr(t, f), accessACL, "list")
}

func aclInherited(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	def := full(7, 6, 5, 4, 7, 1)
	setxattr(t, d, defaultACL, def)
	equal(t, perm(t, d), 0o755, "the default says nothing about the directory itself")
	c := start(t, d)
	c.call(ask{Op: "umask", Mode: 0})
	ok(t, c.err(ask{Op: "mkdir", Path: "sub", Mode: 0o777}), "mkdir")
	isACL(t, in(d, "sub"), defaultACL, def, "default of the subdirectory")
	isACL(t, in(d, "sub"), accessACL, def, "ACL of the subdirectory")
	equal(t, perm(t, in(d, "sub")), 0o771, "mode of the subdirectory")
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o640)
	ok(t, err, "create")
	isACL(t, in(d, "f"), accessACL, full(6, 6, 5, 4, 4, 0), "ACL of the file")
	equal(t, perm(t, in(d, "f")), 0o640, "mode of the file")
	noxattr(t, in(d, "f"), defaultACL)
}

func aclUmask(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	setxattr(t, d, defaultACL, full(7, 7, 7, 7, 7, 7))
	c := start(t, d)
	c.call(ask{Op: "umask", Mode: 0o077})
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o666)
	ok(t, err, "create")
	equal(t, perm(t, in(d, "f")), 0o666, "mode: the umask does not count")
	ok(t, c.err(ask{Op: "mkdir", Path: "sub", Mode: 0o777}), "mkdir")
	equal(t, perm(t, in(d, "sub")), 0o777, "mode of the directory")
	ok(t, unix.Removexattr(d, defaultACL), "remove the default")
	_, err = c.open("g", unix.O_RDWR|unix.O_CREAT, 0o666)
	ok(t, err, "create")
	equal(t, perm(t, in(d, "g")), 0o600, "mode: the umask counts again")
}

func aclTypes(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	setxattr(t, d, defaultACL, full(7, 7, 7, 7, 7, 7))
	c := start(t, d)
	c.call(ask{Op: "umask", Mode: 0o077})
	ok(t, c.err(ask{Op: "mknod", Path: "p", Mode: unix.S_IFIFO | 0o660}), "mknod")
	isACL(t, in(d, "p"), accessACL, full(6, 7, 7, 7, 6, 0), "ACL of a FIFO")
	ok(t, c.err(ask{Op: "symlink", Path: "s", To: "x"}), "symlink")
	equal(t, listxattr(t, in(d, "s")), "", "a symlink has none")
	fd, err := c.open(".", unix.O_RDWR|unix.O_TMPFILE, 0o660)
	ok(t, err, "O_TMPFILE")
	equal(t, c.call(ask{Op: "fstat", FD: fd}).Stat.Mode&0o777, 0o660, "mode of a file without a name")
	// What is renamed or linked into it keeps what it had.
	put(t, in(dir, "f"), "x")
	ok(t, unix.Rename(in(dir, "f"), in(d, "f")), "rename")
	equal(t, listxattr(t, in(d, "f")), "", "a renamed file gets none")
}

func aclMinimal(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, accessACL, acl(entry{userObj, 6, noID}, entry{groupObj, 4, noID}, entry{other, 0, noID}))
	equal(t, perm(t, f), 0o640, "mode")
	equal(t, listxattr(t, f), "", "list: the mode says it all")
	noxattr(t, f, accessACL)
}

func aclBad(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	good := []entry{{userObj, 6, noID}, {user, 4, 4242}, {groupObj, 4, noID}, {mask, 4, noID}, {other, 0, noID}}
	for what, value := range map[string]string{
		"no mask":        acl(slices.Delete(slices.Clone(good), 3, 4)...),
		"no owner":       acl(good[1:]...),
		"wrong order":    acl(good[1], good[0], good[2], good[3], good[4]),
		"unknown tag":    acl(append(slices.Clone(good), entry{0x40, 4, noID})...),
		"bad permission": acl(entry{userObj, 8, noID}, good[2], good[4]),
		"cut":            acl(good...)[:20],
	} {
		want(t, unix.Setxattr(f, accessACL, []byte(value), 0), unix.EINVAL, what)
	}
	want(t, unix.Setxattr(f, accessACL, []byte("\x03\x00\x00\x00"), 0), unix.EOPNOTSUPP, "unknown version")
	equal(t, perm(t, f), 0o644, "mode")
	equal(t, listxattr(t, f), "", "list")
}

func aclPermissions(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	ok(t, unix.Chmod(f, 0o666), "chmod")
	c := as(t, dir, 4242, 4242)
	value := []byte(full(6, 6, 6, 6, 6, 6))
	want(t, c.err(ask{Op: "setxattr", Path: "f", To: accessACL, Data: value}), unix.EPERM, "set by another")
	ok(t, unix.Chown(f, 4242, 4242), "chown")
	ok(t, c.err(ask{Op: "setxattr", Path: "f", To: accessACL, Data: value}), "set by the owner")
	reader := as(t, dir, 4343, 4343)
	equal(t, aclText(string(reader.call(ask{Op: "getxattr", Path: "f", To: accessACL}).Data)), aclText(string(value)), "anyone may look")
}

func aclRemoved(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	setxattr(t, f, accessACL, full(6, 6, 4, 4, 6, 0))
	equal(t, perm(t, f), 0o660, "mode with the ACL")
	ok(t, unix.Removexattr(f, accessACL), "remove")
	noxattr(t, f, accessACL)
	equal(t, perm(t, f), 0o660, "mode stays")
	d := mkdir(t, in(dir, "d"), 0o755)
	setxattr(t, d, defaultACL, full(7, 7, 7, 7, 7, 7))
	equal(t, listxattr(t, d), defaultACL, "list")
	ok(t, unix.Removexattr(d, defaultACL), "remove the default")
	equal(t, listxattr(t, d), "", "list")
}

func aclDefaultFile(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	want(t, unix.Setxattr(in(dir, "f"), defaultACL, []byte(full(7, 7, 7, 7, 7, 7)), 0), unix.EACCES, "default on a file")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	want(t, unix.Lsetxattr(in(dir, "s"), accessACL, []byte(full(7, 7, 7, 7, 7, 7)), 0), unix.EOPNOTSUPP, "ACL of a symlink")
}

// aclAtOnce: nobody may remember an ACL that was changed.
func aclAtOnce(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	c := as(t, dir, 4242, 4242)
	for i := range 20 {
		bits := uint16(i%2) * 4
		setxattr(t, f, accessACL, full(6, bits, 0, 0, 7, 0))
		fd, err := c.open("f", unix.O_RDONLY, 0)
		if bits == 0 {
			want(t, err, unix.EACCES, "open while shut out")
			continue
		}
		ok(t, err, "open while allowed")
		ok(t, c.err(ask{Op: "close", FD: fd}), "close")
	}
}

// aclSetgid: who is not in the group cannot keep setgid by setting an ACL.
func aclSetgid(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	ok(t, unix.Chown(f, 4242, 6000), "chown")
	ok(t, unix.Chmod(f, 0o2755), "chmod")
	c := as(t, dir, 4242, 4242)
	ok(t, c.err(ask{Op: "setxattr", Path: "f", To: accessACL, Data: []byte(full(7, 7, 5, 5, 7, 5))}), "set by the owner")
	equal(t, perm(t, f), 0o775, "mode")
}
