package xlatortest

import (
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// names makes, finds, links and removes things of every type.
func names(s *script) {
	d := s.mkdir(s.root, "d")
	s.mkdir(s.root, "d")
	s.mkdir(s.root, strings.Repeat("n", 255))
	s.mkdir(s.root, strings.Repeat("n", 256))
	s.mkdir(d, "\xff\x01 not text")
	sub := s.mkdir(d, "sub")
	s.lookup(s.root, "d")
	s.lookup(d, "nothing")
	s.lookup(d, strings.Repeat("n", 256))

	for i, typ := range []xlator.FileType{xlator.TypeRegular, xlator.TypeFIFO, xlator.TypeSocket, xlator.TypeChar, xlator.TypeBlock} {
		rep, err := s.top.Mknod(s.call(), &xlator.MknodReq{MakeReq: s.make(d, "node-"+typ.String(), 0o640), Type: typ, Rdev: uint64(unix.Mkdev(7, uint32(i)))})
		s.entry("mknod "+typ.String(), rep, err)
		s.lookup(d, "node-"+typ.String())
	}
	for n, target := range []string{"a", "/some/where else", strings.Repeat("long/", 800)} {
		name := fmt.Sprint("link ", n)
		rep, err := s.top.Symlink(s.call(), &xlator.SymlinkReq{MakeReq: s.make(d, name, 0o777), Target: target})
		if i := s.entry("symlink", rep, err); i != nil {
			l, err := s.top.Readlink(s.call(), &xlator.ReadlinkReq{Inode: i})
			if err == nil {
				s.say(nil, nil, "readlink", l.Target == target)
			} else {
				s.say(err, nil, "readlink")
			}
		}
	}

	f := s.create(d, "file", unix.O_RDWR)
	s.create(d, "file", unix.O_RDWR|unix.O_EXCL)
	s.create(d, "file", unix.O_RDWR)
	s.link(f.Inode(), sub, "second name")
	s.link(f.Inode(), sub, "second name")
	s.lookup(d, "file")
	s.lookup(sub, "second name")
	s.byGFID(f.Inode().GFID())
	s.byGFID(xlator.GFID{1, 2, 3})

	s.unlink(d, "nothing")
	s.unlink(d, "sub")
	s.rmdir(d, "file")
	s.rmdir(d, "sub")
	s.rmdir(s.root, "nothing")
	s.unlinkVictim(d, "file", xlator.GFID{9})
	s.unlinkVictim(d, "file", f.Inode().GFID())
	s.check("file with one name left", f.Inode())
	s.lookup(d, "file")
	s.unlink(sub, "second name")
	s.rmdir(d, "sub")
	s.lookup(d, "sub")

	// Somebody else's file, and a name that comes back as another thing.
	call := s.call()
	call.UID, call.GID = 1000, 1001
	rep, err := s.top.Mkdir(call, &xlator.MkdirReq{MakeReq: s.make(d, "theirs", 0o777)})
	s.entry("mkdir by another", rep, err)
	s.mkdir(d, "again")
	s.lookup(d, "again")
	s.rmdir(d, "again")
	s.lookup(d, "again")
	s.create(d, "again", unix.O_RDWR)
	s.lookup(d, "again")
}

func (s *script) link(i, parent *xlator.Inode, name string) {
	rep, err := s.top.Link(s.call(), &xlator.LinkReq{Inode: i, Parent: parent, Name: name})
	s.entry("link "+name, rep, err)
}

func (s *script) unlink(parent *xlator.Inode, name string) {
	s.unlinkVictim(parent, name, xlator.GFID{})
}

func (s *script) unlinkVictim(parent *xlator.Inode, name string, victim xlator.GFID) {
	rep, err := s.top.Unlink(s.call(), &xlator.UnlinkReq{Parent: parent, Name: name, Victim: victim})
	s.removed("unlink "+name, parent, rep, err)
}

func (s *script) rmdir(parent *xlator.Inode, name string) {
	rep, err := s.top.Rmdir(s.call(), &xlator.RmdirReq{Parent: parent, Name: name})
	s.removed("rmdir "+name, parent, rep, err)
}

func (s *script) removed(what string, parent *xlator.Inode, rep *xlator.UnlinkRep, err error) {
	if err != nil {
		s.say(err, nil, what)
		return
	}
	s.say(nil, &rep.Attr, what, rep.Removed)
	s.say(nil, &rep.PostParent, what+": parent after it")
	s.check(what+": parent", parent)
}

func (s *script) byGFID(g xlator.GFID) {
	rep, err := s.top.Lookup(s.call(), &xlator.LookupReq{GFID: g})
	if err != nil {
		s.say(err, nil, "lookup "+g.String())
		return
	}
	s.say(nil, &rep.Attr, "lookup "+g.String(), rep.Inode.GFID())
}

// renames moves names over nothing, over others, across folders, and swaps.
func renames(s *script) {
	a, b := s.mkdir(s.root, "a"), s.mkdir(s.root, "b")
	f, g := s.create(a, "f", unix.O_RDWR), s.create(a, "g", unix.O_RDWR)
	s.write(f, 0, pattern(1, 1000))
	s.write(g, 0, pattern(2, 2000))

	s.rename(a, "f", a, "f2", 0)
	s.lookup(a, "f")
	s.lookup(a, "f2")
	s.rename(a, "f2", b, "f", 0)
	s.rename(a, "nothing", b, "x", 0)
	s.rename(b, "f", a, "g", unix.RENAME_NOREPLACE)
	s.rename(b, "f", a, "g", unix.RENAME_EXCHANGE)
	s.lookup(a, "g")
	s.lookup(b, "f")
	s.rename(b, "f", a, "nothing", unix.RENAME_EXCHANGE)
	s.rename(b, "f", b, "new", unix.RENAME_NOREPLACE)

	// Over an open file: who has it open goes on reading what it was.
	s.rename(b, "new", a, "g", 0)
	s.lookup(a, "g")
	s.read(f, 0, 5000)
	s.read(g, 0, 5000)
	s.check("replaced file", f.Inode())
	s.check("moved file", g.Inode())

	sub := s.mkdir(a, "sub")
	s.mkdir(b, "empty")
	s.mkdir(sub, "inner")
	s.rename(a, "sub", b, "empty", 0)
	s.lookup(b, "empty")
	s.mkdir(a, "other")
	s.rename(a, "other", b, "empty", 0)
	s.rename(s.root, "b", sub, "into itself", 0)
	s.rename(a, "g", b, "empty", 0)
	s.rename(a, "other", a, "g", 0)
	s.rename(a, "g", a, "g", 0)

	// Two names of one file: nothing happens, says POSIX.
	s.link(g.Inode(), a, "g2")
	s.rename(a, "g", a, "g2", 0)
	s.lookup(a, "g")
	s.lookup(a, "g2")
}

func (s *script) rename(from *xlator.Inode, name string, to *xlator.Inode, newName string, flags uint32) {
	what := "rename " + name + " to " + newName
	rep, err := s.top.Rename(s.call(), &xlator.RenameReq{OldParent: from, OldName: name, NewParent: to, NewName: newName, Flags: flags})
	if err != nil {
		s.say(err, nil, what)
		return
	}
	s.say(nil, &rep.Attr, what, rep.Moved, rep.Replaced)
	s.say(nil, &rep.ReplacedAttr, what+": what was replaced")
	s.say(nil, &rep.PostOldParent, what+": old parent after it")
	s.say(nil, &rep.PostNewParent, what+": new parent after it")
	s.check(what+": old parent", from)
	s.check(what+": new parent", to)
}
