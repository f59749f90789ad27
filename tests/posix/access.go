package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func accessCases() map[string]Case {
	return map[string]Case{
		"ModeBitsAreEnforced":        modeBits,
		"GroupsAreEnforced":          groups,
		"OwnerClassComesFirst":       ownerFirst,
		"DirectoryBitsAreEnforced":   dirBits,
		"StickyDirectory":            sticky,
		"AccessTellsTheTruth":        accessTells,
		"RootPassesModes":            rootPasses,
		"ReadOnlyParentForbidsNames": readOnlyParent,
	}
}

func modeBits(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	c := as(t, dir, 4242, 4242)
	for mode, allowed := range map[uint32][2]bool{
		0o600: {false, false}, 0o604: {true, false}, 0o602: {false, true}, 0o606: {true, true}, 0o770: {false, false},
	} {
		ok(t, unix.Chmod(in(dir, "f"), mode), "chmod")
		for i, flags := range []int{unix.O_RDONLY, unix.O_WRONLY} {
			_, err := c.open("f", flags, 0)
			if allowed[i] {
				ok(t, err, "open that is allowed")
			} else {
				want(t, err, unix.EACCES, "open that is not allowed")
			}
		}
		_, err := c.open("f", unix.O_RDWR, 0)
		equal(t, err == nil, allowed[0] && allowed[1], "open for both")
	}
}

func groups(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chown(in(dir, "f"), 0, 5000), "chown")
	ok(t, unix.Chmod(in(dir, "f"), 0o640), "chmod")
	for name, c := range map[string]*child{
		"main group":  as(t, dir, 4242, 5000),
		"other group": as(t, dir, 4242, 4242, 4999, 5000, 5001),
	} {
		_, err := c.open("f", unix.O_RDONLY, 0)
		ok(t, err, "read by "+name)
		_, err = c.open("f", unix.O_WRONLY, 0)
		want(t, err, unix.EACCES, "write by "+name)
	}
	var many []int
	for g := range 200 {
		many = append(many, 10_000+g)
	}
	_, err := as(t, dir, 4242, 4242, append(many, 5000)...).open("f", unix.O_RDONLY, 0)
	ok(t, err, "read by a member of 201 groups")
	_, err = as(t, dir, 4242, 4242, many...).open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read by no member")
}

// ownerFirst: the first class that fits decides, even if a later one is wider.
func ownerFirst(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chown(in(dir, "f"), 4242, 5000), "chown")
	ok(t, unix.Chmod(in(dir, "f"), 0o066), "chmod")
	_, err := as(t, dir, 4242, 5000).open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read by the owner")
	ok(t, unix.Chmod(in(dir, "f"), 0o606), "chmod")
	_, err = as(t, dir, 4343, 5000).open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "read by the group")
}

func dirBits(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "d/f"), "x")
	ok(t, unix.Chmod(in(dir, "d/f"), 0o666), "chmod")
	c := as(t, dir, 4242, 4242)
	ok(t, unix.Chmod(in(dir, "d"), 0o704), "chmod") // read only
	ok(t, c.err(ask{Op: "list", Path: "d"}), "list with r")
	want(t, c.err(ask{Op: "stat", Path: "d/f"}), unix.EACCES, "stat without x")
	_, err := c.open("d/f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "open without x")
	ok(t, unix.Chmod(in(dir, "d"), 0o701), "chmod") // search only
	want(t, c.err(ask{Op: "list", Path: "d"}), unix.EACCES, "list without r")
	ok(t, c.err(ask{Op: "stat", Path: "d/f"}), "stat with x")
	_, err = c.open("d/f", unix.O_RDWR, 0)
	ok(t, err, "open with x")
	want(t, c.err(ask{Op: "stat", Path: "d/none"}), unix.ENOENT, "stat of nothing with x")
	want(t, c.err(ask{Op: "chdir", Path: "d/f"}), unix.ENOTDIR, "chdir to a file")
	ok(t, unix.Chmod(in(dir, "d"), 0o700), "chmod")
	want(t, c.err(ask{Op: "chdir", Path: "d"}), unix.EACCES, "chdir without x")
	want(t, c.err(ask{Op: "stat", Path: "d/f"}), unix.EACCES, "stat after x was removed")
}

func sticky(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o1777)
	for _, name := range []string{"mine", "theirs", "roots"} {
		put(t, in(dir, "d/"+name), "x")
		ok(t, unix.Chmod(in(dir, "d/"+name), 0o666), "chmod")
	}
	ok(t, unix.Chown(in(dir, "d/mine"), 4242, 4242), "chown")
	ok(t, unix.Chown(in(dir, "d/theirs"), 4343, 4343), "chown")
	c := as(t, in(dir, "d"), 4242, 4242)
	want(t, c.err(ask{Op: "unlink", Path: "theirs"}), unix.EPERM, "unlink another's")
	want(t, c.err(ask{Op: "rename", Path: "roots", To: "x"}), unix.EPERM, "rename another's")
	want(t, c.err(ask{Op: "rename", Path: "mine", To: "theirs"}), unix.EPERM, "rename over another's")
	ok(t, c.err(ask{Op: "rename", Path: "mine", To: "still-mine"}), "rename one's own")
	ok(t, c.err(ask{Op: "unlink", Path: "still-mine"}), "unlink one's own")
	ok(t, unix.Chown(in(dir, "d"), 4242, 4242), "chown the directory")
	ok(t, c.err(ask{Op: "unlink", Path: "theirs"}), "unlink in one's own directory")
}

func accessTells(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chmod(in(dir, "f"), 0o644), "chmod")
	c := as(t, dir, 4242, 4242)
	ok(t, c.err(ask{Op: "access", Path: "f", Mode: unix.F_OK}), "access F")
	ok(t, c.err(ask{Op: "access", Path: "f", Mode: unix.R_OK}), "access R")
	want(t, c.err(ask{Op: "access", Path: "f", Mode: unix.W_OK}), unix.EACCES, "access W")
	want(t, c.err(ask{Op: "access", Path: "f", Mode: unix.X_OK}), unix.EACCES, "access X")
	want(t, c.err(ask{Op: "access", Path: "no", Mode: unix.F_OK}), unix.ENOENT, "access of nothing")
	ok(t, unix.Access(in(dir, "f"), unix.R_OK|unix.W_OK), "access RW by root")
	want(t, unix.Access(in(dir, "f"), unix.X_OK), unix.EACCES, "access X by root without any x")
	ok(t, unix.Chmod(in(dir, "f"), 0o645), "chmod")
	ok(t, unix.Access(in(dir, "f"), unix.X_OK), "access X by root with some x")
	ok(t, c.err(ask{Op: "access", Path: "f", Mode: unix.R_OK | unix.X_OK}), "access RX")
}

func rootPasses(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	ok(t, unix.Chmod(in(dir, "f"), 0), "chmod")
	equal(t, content(t, in(dir, "f")), "x", "read")
	open(t, in(dir, "f"), unix.O_WRONLY, 0)
	mkdir(t, in(dir, "d"), 0)
	put(t, in(dir, "d/g"), "y")
	equal(t, names(t, in(dir, "d")), "g", "listing")
}

func readOnlyParent(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "sub"), 0o777)
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	c := as(t, dir, 4242, 4242) // dir is root's, 0755
	_, err := c.open("g", unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.EACCES, "create")
	want(t, c.err(ask{Op: "mkdir", Path: "d", Mode: 0o755}), unix.EACCES, "mkdir")
	want(t, c.err(ask{Op: "unlink", Path: "f"}), unix.EACCES, "unlink")
	want(t, c.err(ask{Op: "rename", Path: "f", To: "sub/f"}), unix.EACCES, "rename away")
	want(t, c.err(ask{Op: "link", Path: "f", To: "g"}), unix.EACCES, "link")
	want(t, c.err(ask{Op: "symlink", Path: "s", To: "x"}), unix.EACCES, "symlink")
	want(t, c.err(ask{Op: "rmdir", Path: "sub"}), unix.EACCES, "rmdir")
	ok(t, c.err(ask{Op: "link", Path: "f", To: "sub/f"}), "link elsewhere")
	ok(t, c.err(ask{Op: "truncate", Path: "f", Len: 0}), "truncate")
}
