package xlatortest

import (
	"fmt"
	"sort"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// attributes changes modes, owners and times.
func attributes(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	d := s.mkdir(s.root, "d")
	for _, i := range []*xlator.Inode{fd.Inode(), d} {
		for _, c := range []struct {
			what string
			set  xlator.Setattr
		}{
			{"chmod", xlator.Setattr{Mask: xlator.SetMode, Mode: 0o4751}},
			{"chown", xlator.Setattr{Mask: xlator.SetUID | xlator.SetGID, UID: 1000, GID: 1001}},
			{"chown and kill", xlator.Setattr{Mask: xlator.SetUID | xlator.SetKillPriv, UID: 1002}},
			{"utimens", xlator.Setattr{Mask: xlator.SetAtime | xlator.SetMtime, Atime: xlator.Time{Sec: 1e9, Nsec: 7}, Mtime: xlator.Time{Sec: 1.1e9, Nsec: 999999999}}},
			{"utimens before 1970", xlator.Setattr{Mask: xlator.SetMtime, Mtime: xlator.Time{Sec: -100, Nsec: 5}}},
			{"all", xlator.Setattr{Mask: xlator.SetMode | xlator.SetUID | xlator.SetGID | xlator.SetMtime, Mode: 0o700, Mtime: xlator.Time{Sec: 5}}},
			{"nothing", xlator.Setattr{}},
		} {
			rep, err := s.top.Setattr(s.call(), &xlator.SetattrReq{Inode: i, Setattr: c.set})
			s.attrs(c.what, i, rep, err)
			st, err := s.top.Stat(s.call(), &xlator.StatReq{Inode: i})
			if err == nil && st.Attr.Valid() && c.set.Mask&xlator.SetMtime != 0 {
				s.say(nil, nil, "mtime after "+c.what, st.Attr.Mtime)
			}
		}
	}
	rep, err := s.top.Fsetattr(s.call(), &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o6777}})
	s.attrs("fchmod", fd.Inode(), rep, err)
	s.write(fd, 0, pattern(1, 100))
	w, err := s.top.Writev(s.call(), &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: pattern(2, 100)}, Offset: 50, Flags: fd.Flags(), KillPriv: true})
	if err == nil {
		s.say(nil, &w.Attr, "write that clears set-uid", w.Size)
	} else {
		s.say(err, nil, "write that clears set-uid")
	}
	s.check("file after such a write", fd.Inode())
	rep, err = s.top.Setattr(s.call(), &xlator.SetattrReq{Inode: fd.Inode(), Setattr: xlator.Setattr{Mask: xlator.SetMtime, Mtime: xlator.Time{Sec: 42}}})
	s.attrs("utimens after writes", fd.Inode(), rep, err)
	s.fsync(fd, false)
	s.release(fd)
	s.check("file at the end", fd.Inode())
}

// xattrs sets, lists and removes extended attributes.
func xattrs(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	for n, i := range []*xlator.Inode{fd.Inode(), s.mkdir(s.root, "d")} {
		set := func(name, value string, flags uint32) {
			x := &xlator.Dict{}
			x.SetBytes(name, []byte(value))
			_, err := s.top.Setxattr(s.call(), &xlator.SetxattrReq{Inode: i, Xattrs: x, Flags: flags})
			s.say(err, nil, fmt.Sprintf("setxattr %s flags %x", name, flags))
			s.getxattr(i, name)
		}
		s.getxattr(i, "user.a")
		set("user.a", "one", 0)
		set("user.a", "two", unix.XATTR_CREATE)
		set("user.a", "three", unix.XATTR_REPLACE)
		set("user.b", "", 0)
		set("user.c", "x", unix.XATTR_REPLACE)
		set("user.binary", "\x00\xff\x00", unix.XATTR_CREATE)
		set("trusted.holdfast.test", "t", 0)
		set("security.test", "s", 0)
		set("nonsense", "n", 0)
		s.listxattr(i)
		s.check(fmt.Sprint("after setxattr ", n), i)
		for _, name := range []string{"user.b", "user.b", "security.test"} {
			_, err := s.top.Removexattr(s.call(), &xlator.RemovexattrReq{Inode: i, Name: name})
			s.say(err, nil, "removexattr "+name)
			s.getxattr(i, name)
		}
		s.listxattr(i)
	}
	x := &xlator.Dict{}
	x.SetBytes("user.f", []byte("by fd"))
	_, err := s.top.Fsetxattr(s.call(), &xlator.FsetxattrReq{FD: fd, Xattrs: x})
	s.say(err, nil, "fsetxattr")
	rep, err := s.top.Fgetxattr(s.call(), &xlator.FgetxattrReq{FD: fd, Name: "user.f"})
	s.xattr("fgetxattr", rep, err)
	_, err = s.top.Fremovexattr(s.call(), &xlator.FremovexattrReq{FD: fd, Name: "user.f"})
	s.say(err, nil, "fremovexattr")
	rep, err = s.top.Fgetxattr(s.call(), &xlator.FgetxattrReq{FD: fd, Name: "user.f"})
	s.xattr("fgetxattr", rep, err)

	add := &xlator.Dict{}
	add.SetBytes("trusted.holdfast.count", []byte{0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 255})
	for range 2 {
		rep, err = s.top.Xattrop(s.call(), &xlator.XattropReq{Inode: fd.Inode(), Kind: xlator.XattropAddArray, Xattrs: add})
		s.xattr("xattrop", rep, err)
		rep, err = s.top.Fxattrop(s.call(), &xlator.FxattropReq{FD: fd, Kind: xlator.XattropAddArray, Xattrs: add})
		s.xattr("fxattrop", rep, err)
	}
}

func (s *script) getxattr(i *xlator.Inode, name string) {
	rep, err := s.top.Getxattr(s.call(), &xlator.GetxattrReq{Inode: i, Name: name})
	s.xattr("getxattr "+name, rep, err)
}

func (s *script) listxattr(i *xlator.Inode) {
	rep, err := s.top.Getxattr(s.call(), &xlator.GetxattrReq{Inode: i})
	s.xattr("listxattr", rep, err)
}

func (s *script) xattr(what string, rep *xlator.XattrRep, err error) {
	if err != nil {
		s.say(err, nil, what)
		return
	}
	var all []string
	for _, p := range rep.Xattrs.Pairs() {
		v, _ := rep.Xattrs.Bytes(p.Key)
		all = append(all, fmt.Sprintf("%s=%x", p.Key, v))
	}
	sort.Strings(all)
	s.say(nil, nil, what, all)
}
