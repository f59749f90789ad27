package posix

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func (b *brick) set(i *xlator.Inode, s xlator.Setattr) xlator.Iatt {
	b.t.Helper()
	rep, err := b.Setattr(b.ctx, &xlator.SetattrReq{Inode: i, Setattr: s})
	b.must(err)
	return rep.Attr
}

func TestSetattr(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "")
	fd := b.open(i, unix.O_RDWR)
	defer b.Release(fd)
	for _, set := range []func(xlator.Setattr) xlator.Iatt{
		func(s xlator.Setattr) xlator.Iatt { return b.set(i, s) },
		func(s xlator.Setattr) xlator.Iatt {
			rep, err := b.Fsetattr(b.ctx, &xlator.FsetattrReq{FD: fd, Setattr: s})
			b.must(err)
			return rep.Attr
		},
	} {
		if a := set(xlator.Setattr{Mask: xlator.SetMode, Mode: 0o6755}); a.Mode != 0o6755 {
			t.Fatalf("mode %o", a.Mode)
		}
		if a := set(xlator.Setattr{Mask: xlator.SetUID, UID: 12}); a.Mode != 0o755 || a.UID != 12 {
			t.Fatalf("after chown %o %d", a.Mode, a.UID)
		}
		if a := set(xlator.Setattr{Mask: xlator.SetUID | xlator.SetGID | xlator.SetMode, UID: 0, GID: 13, Mode: 0o4711}); a.Mode != 0o4711 || a.GID != 13 || a.UID != 0 {
			t.Fatalf("owner and mode at once %o %d:%d", a.Mode, a.UID, a.GID)
		}
		b.must(unix.Setxattr(b.path("f"), "security.capability", capability, 0))
		if a := set(xlator.Setattr{Mask: xlator.SetKillPriv}); a.Mode != 0o711 || exists(b.path("f")) && hasCap(b.path("f")) {
			t.Fatalf("privileges left: %o", a.Mode)
		}
		old := xlator.Time{Sec: 1000, Nsec: 7}
		a := set(xlator.Setattr{Mask: xlator.SetMtime | xlator.SetAtimeNow, Mtime: old})
		if a.Mtime != old || a.Atime.Sec < 1e9 {
			t.Fatalf("times %+v", a)
		}
		if a = set(xlator.Setattr{Mask: xlator.SetAtime, Atime: xlator.Time{Sec: -5}}); a.Mtime != old || a.Atime.Sec != -5 {
			t.Fatalf("times %+v", a)
		}
		if a = set(xlator.Setattr{Mask: xlator.SetMtimeNow}); a.Mtime.Sec < 1e9 {
			t.Fatalf("times %+v", a)
		}
	}
	l, err := b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(b.root, "l", 0o777), Target: "f"})
	b.must(err)
	if a := b.set(l.Inode, xlator.Setattr{Mask: xlator.SetUID | xlator.SetMtime, UID: 5, Mtime: xlator.Time{Sec: 9}}); a.UID != 5 || a.Mtime.Sec != 9 || lstat(t, b.path("f")).Uid == 5 {
		t.Fatalf("symlink %+v", a)
	}
	_, err = b.Setattr(b.ctx, &xlator.SetattrReq{Inode: l.Inode, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}})
	want(t, err, unix.EOPNOTSUPP)
}

// capability is a file capability: version 2, CAP_NET_RAW permitted.
var capability = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func hasCap(path string) bool {
	_, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil
}

func TestChangeOfDataDropsPrivileges(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "12345678")
	fd := b.open(i, unix.O_RDWR)
	defer b.Release(fd)
	other := b.open(b.file(b.root, "other", "abcd"), unix.O_RDONLY)
	defer b.Release(other)
	ops := map[string]func(kill bool) error{
		"write": func(k bool) error {
			_, err := b.Writev(b.ctx, &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: []byte("x")}, KillPriv: k})
			return err
		},
		"truncate": func(k bool) error {
			_, err := b.Truncate(b.ctx, &xlator.TruncateReq{Inode: i, Size: 6, KillPriv: k})
			return err
		},
		"ftruncate": func(k bool) error {
			_, err := b.Ftruncate(b.ctx, &xlator.FtruncateReq{FD: fd, Size: 8, KillPriv: k})
			return err
		},
		"fallocate": func(k bool) error {
			_, err := b.Fallocate(b.ctx, &xlator.FallocateReq{FD: fd, Len: 10, KillPriv: k})
			return err
		},
		"discard": func(k bool) error {
			_, err := b.Discard(b.ctx, &xlator.DiscardReq{FD: fd, Len: 1, KillPriv: k})
			return err
		},
		"zerofill": func(k bool) error {
			_, err := b.Zerofill(b.ctx, &xlator.ZerofillReq{FD: fd, Len: 1, KillPriv: k})
			return err
		},
		"copy": func(k bool) error {
			_, err := b.CopyFileRange(b.ctx, &xlator.CopyFileRangeReq{Src: other, Dst: fd, Len: 2, KillPriv: k})
			return err
		},
	}
	for name, op := range ops {
		for _, c := range []struct {
			mode uint32
			kill bool
			want uint32
		}{{0o6755, false, 0o6755}, {0o6755, true, 0o755}, {0o2745, true, 0o2745}, {0o4600, true, 0o600}} {
			b.must(unix.Chmod(b.path("f"), c.mode))
			b.must(unix.Setxattr(b.path("f"), "security.capability", capability, 0))
			b.must(op(c.kill))
			if got := lstat(t, b.path("f")).Mode & 0o7777; got != c.want || hasCap(b.path("f")) {
				t.Errorf("%s, kill %v: mode %o became %o, want %o; capability left %v", name, c.kill, c.mode, got, c.want, hasCap(b.path("f")))
			}
		}
	}
}

func TestMdataOverridesTimes(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	d := b.mkdir(b.root, "d")
	b.file(d, "f", "")
	b.w.Stop()
	old := mdata{ctime: xlator.Time{Sec: 100, Nsec: 1}, mtime: xlator.Time{Sec: 200, Nsec: 2}, atime: xlator.Time{Sec: 300, Nsec: 3}}
	raw := old.bytes()
	if len(raw) != 57 || raw[0] != 1 || binary.BigEndian.Uint64(raw[9:]) != 100 || binary.BigEndian.Uint64(raw[49:]) != 3 {
		t.Fatalf("mdata %x", raw)
	}
	for _, p := range []string{"d", "d/f"} {
		b.must(unix.Setxattr(b.path(p), xattrMdata, raw, 0))
	}
	b = mount(t, dir, nil)
	d = b.at("d")
	i, a, err := b.lookup(d, "f")
	b.must(err)
	is := func(a xlator.Iatt, c, m, at int64) {
		t.Helper()
		for _, x := range []struct{ got, want int64 }{{a.Ctime.Sec, c}, {a.Mtime.Sec, m}, {a.Atime.Sec, at}} {
			if x.want == 0 && x.got < 1e9 || x.want != 0 && x.got != x.want {
				t.Fatalf("ctime %d mtime %d atime %d, want %d %d %d (0: now)", a.Ctime.Sec, a.Mtime.Sec, a.Atime.Sec, c, m, at)
			}
		}
	}
	is(a, 100, 200, 300)
	is(b.set(i, xlator.Setattr{Mask: xlator.SetCtime | xlator.SetMode, Mode: 0o600, Ctime: xlator.Time{Sec: 101}}), 101, 200, 300)
	is(b.set(i, xlator.Setattr{Mask: xlator.SetMtime | xlator.SetCtime, Mtime: xlator.Time{Sec: 201}, Ctime: xlator.Time{Sec: 102}}), 102, 201, 300)
	is(b.set(i, xlator.Setattr{Mask: xlator.SetAtime, Atime: xlator.Time{Sec: 301}}), 0, 201, 301)
	b.must(unix.Setxattr(b.path("d/f"), xattrMdata, raw, 0))
	fd := b.open(i, unix.O_RDWR)
	is(b.stat(i), 100, 200, 300)
	is(b.write(fd, "x", 0), 0, 0, 300)
	b.Release(fd)
	is(b.stat(d), 100, 200, 300)
	b.file(d, "g", "")
	is(b.stat(d), 0, 0, 300)
	if _, err := unix.Getxattr(b.path("d/g"), xattrMdata, nil); err != unix.ENODATA {
		t.Fatal("mdata where there was none")
	}
}

func TestXattrs(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "")
	l, err := b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(b.root, "l", 0o777), Target: "f"})
	b.must(err)
	set := func(i *xlator.Inode, name, v string, flags uint32) error {
		x := &xlator.Dict{}
		x.SetBytes(name, []byte(v))
		_, err := b.Setxattr(b.ctx, &xlator.SetxattrReq{Inode: i, Xattrs: x, Flags: flags})
		return err
	}
	get := func(i *xlator.Inode, name string) (string, error) {
		rep, err := b.Getxattr(b.ctx, &xlator.GetxattrReq{Inode: i, Name: name})
		if err != nil {
			return "", err
		}
		v, _ := rep.Xattrs.Bytes(name)
		return string(v), nil
	}
	big := string(make([]byte, 3000))
	for _, n := range []string{"user.a", "trusted.own", "security.mine"} {
		b.must(set(i, n, big, unix.XATTR_CREATE))
		want(t, set(i, n, "x", unix.XATTR_CREATE), unix.EEXIST)
		b.must(set(i, n, "v", unix.XATTR_REPLACE))
		if v, err := get(i, n); v != "v" || err != nil {
			t.Fatalf("%s: %q %v", n, v, err)
		}
	}
	want(t, set(i, "user.b", "x", unix.XATTR_REPLACE), unix.ENODATA)
	want(t, set(l.Inode, "user.a", "x", 0), unix.EPERM)
	b.must(set(l.Inode, "trusted.own", "x", 0))
	want(t, set(i, "system.other", "x", 0), unix.EOPNOTSUPP)
	for _, n := range []string{xattrGFID, xattrVolume, xattrMdata, "trusted.glusterfs.dht", "trusted.gfid2path.0123456789abcdef", "trusted.afr.dirty", xattrMark} {
		want(t, set(i, n, "x", 0), unix.EPERM)
		_, err := b.Removexattr(b.ctx, &xlator.RemovexattrReq{Inode: i, Name: n})
		want(t, err, unix.EPERM)
		_, err = get(i, n)
		want(t, err, unix.ENODATA)
	}
	names := func(ctx *brick) (s []string) {
		rep, err := b.Getxattr(ctx.ctx, &xlator.GetxattrReq{Inode: i})
		b.must(err)
		for _, x := range rep.Xattrs.Pairs() {
			s = append(s, x.Key)
		}
		return s
	}
	if got := names(b); len(got) != 3 {
		t.Fatalf("listed %v", got)
	}
	if got := names(b.as(5, 5)); len(got) != 2 {
		t.Fatalf("listed to a user %v", got)
	}
	if v, err := get(i, virtualGFIDText); v != i.GFID().String() || err != nil {
		t.Fatalf("%q %v", v, err)
	}
	_, err = b.Removexattr(b.ctx, &xlator.RemovexattrReq{Inode: i, Name: "user.a"})
	b.must(err)
	_, err = b.Removexattr(b.ctx, &xlator.RemovexattrReq{Inode: i, Name: "user.a"})
	want(t, err, unix.ENODATA)

	// An access ACL moves the mode bits; who is not in the group loses set-gid.
	b.set(i, xlator.Setattr{Mask: xlator.SetMode, Mode: 0o2640})
	list := acl{{aclUserObj, 7, ^uint32(0)}, {aclUser, 6, 10}, {aclGroupObj, 4, ^uint32(0)}, {aclMask, 6, ^uint32(0)}, {aclOther, 1, ^uint32(0)}}
	b.must(set(i, xattrAccess, string(list.bytes()), 0))
	if a := b.stat(i); a.Mode != 0o2761 {
		t.Fatalf("mode %o", a.Mode)
	}
	fd := b.open(i, unix.O_RDWR)
	defer b.Release(fd)
	x := &xlator.Dict{}
	x.SetBytes(xattrAccess, list.bytes())
	_, err = b.Fsetxattr(b.ctx, &xlator.FsetxattrReq{FD: fd, Xattrs: x, KillSGID: true})
	b.must(err)
	if a := b.stat(i); a.Mode != 0o761 {
		t.Fatalf("mode %o", a.Mode)
	}
	rep, err := b.Fgetxattr(b.ctx, &xlator.FgetxattrReq{FD: fd, Name: xattrAccess})
	b.must(err)
	if v, _ := rep.Xattrs.Bytes(xattrAccess); string(v) != string(list.bytes()) {
		t.Fatalf("ACL %x", v)
	}
	_, err = b.Fremovexattr(b.ctx, &xlator.FremovexattrReq{FD: fd, Name: xattrAccess})
	b.must(err)
}

func TestXattropAddsAtomically(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "")
	fd := b.open(i, unix.O_RDWR)
	defer b.Release(fd)
	op := func(kind xlator.XattropKind, name string, v []byte) []byte {
		t.Helper()
		x := &xlator.Dict{}
		x.SetBytes(name, v)
		rep, err := b.Xattrop(b.ctx, &xlator.XattropReq{Inode: i, Kind: kind, Xattrs: x})
		b.must(err)
		got, _ := rep.Xattrs.Bytes(name)
		return got
	}
	const key = "trusted.afr.v-client-0"
	if got := op(xlator.XattropAddArray, key, make([]byte, 12)); len(got) != 12 {
		t.Fatalf("got %x", got)
	}
	if _, err := unix.Getxattr(b.path("f"), key, nil); err != unix.ENODATA {
		t.Fatal("zeros were stored")
	}
	parallel(8, func(int) bool {
		x := &xlator.Dict{}
		x.SetBytes(key, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
		for range 50 {
			if _, err := b.Fxattrop(b.ctx, &xlator.FxattropReq{FD: fd, Kind: xlator.XattropAddArray, Xattrs: x}); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if got := xattr(t, b.path("f"), key); got != "\x00\x00\x01\x90\x00\x00\x00\x00\xff\xff\xfe\x70" {
		t.Fatalf("got %x", got)
	}
	if got := op(xlator.XattropAddArray64, "trusted.glusterfs.shard.file-size", []byte{0, 0, 0, 1, 0, 0, 0, 2}); string(got) != "\x00\x00\x00\x01\x00\x00\x00\x02" {
		t.Fatalf("got %x", got)
	}
	if got := op(xlator.XattropGetAndSet, "trusted.x", []byte("new")); got != nil {
		t.Fatalf("got %x", got)
	}
	if got := op(xlator.XattropGetAndSet, "trusted.x", []byte("newer")); string(got) != "new" {
		t.Fatalf("got %q", got)
	}
	x := &xlator.Dict{}
	x.SetBytes(xattrGFID, make([]byte, 16))
	_, err := b.Xattrop(b.ctx, &xlator.XattropReq{Inode: i, Xattrs: x})
	want(t, err, unix.EPERM)
}
