package xlatortest

import (
	"fmt"
	"sort"
	"strings"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// directories lists a folder in pieces, goes back, and lists what changes and
// what is gone.
func directories(s *script) {
	const files = 200
	d := s.mkdir(s.root, "d")
	sub := s.mkdir(d, "sub")
	var made []*xlator.Inode
	for n := range files {
		rep, err := s.top.Mknod(s.call(), &xlator.MknodReq{MakeReq: s.make(d, fmt.Sprintf("file-%03d", n), 0o644), Type: xlator.TypeRegular})
		made = append(made, s.entry("mknod", rep, err))
	}
	fd := s.opendir(d)
	for _, plus := range []bool{false, true} {
		all := s.list(fd, 0, 1000, plus)
		s.say(nil, nil, fmt.Sprint("list, plus ", plus), s.summary(all))
		again := s.list(fd, 0, 1<<20, plus)
		s.say(nil, nil, "again in one piece", s.summary(again))
		// A cookie continues after its entry, in another descriptor too.
		other := s.opendir(d)
		for _, at := range []int{0, 1, 7, len(all) / 2, len(all) - 2, len(all) - 1} {
			rest := s.list(other, all[at].Offset, 1000, plus)
			if fmt.Sprint(namesOf(rest)) != fmt.Sprint(namesOf(all[at+1:])) {
				s.faultf("from the cookie after entry %d: %v\nwant %v", at, namesOf(rest), namesOf(all[at+1:]))
			}
		}
		s.release(other)
	}

	// What is removed while listing is not listed twice and does not hide others. What
	// changes is right where it is told.
	half := s.piece(fd, 0, 1000, true)
	if len(half) == 0 {
		s.faultf("an empty first piece of a full folder")
		return
	}
	seen := map[string]bool{}
	for _, e := range half {
		seen[e.Name] = true
	}
	s.pause(fd)
	for n := 0; n < files; n += 2 {
		s.unlink(d, fmt.Sprintf("file-%03d", n))
	}
	for n := 1; n < files; n += 8 {
		rep, err := s.top.Setattr(s.call(), &xlator.SetattrReq{Inode: made[n], Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}})
		s.attrs("setattr", made[n], rep, err)
	}
	for _, e := range s.list(fd, half[len(half)-1].Offset, 1000, true) {
		if seen[e.Name] {
			s.faultf("%s is listed twice", e.Name)
		}
		if e.Inode != nil && e.Attr.Valid() && strings.HasPrefix(e.Name, "file-") {
			s.agree("readdirp "+e.Name, e.Inode, e.Attr)
		}
		seen[e.Name] = true
	}
	for n := 1; n < files; n += 2 {
		if !seen[fmt.Sprintf("file-%03d", n)] {
			s.faultf("file-%03d was there all the time and is not listed", n)
		}
	}
	s.say(nil, nil, "list from the start", s.summary(s.list(fd, 0, 4096, true)))

	// A file with new data: if readdirp says a size it is the right one.
	w := s.create(d, "written", unix.O_RDWR)
	s.write(w, 0, pattern(1, 12345))
	for _, e := range s.list(fd, 0, 4096, true) {
		if e.Inode != nil && e.Attr.Valid() && e.Name != "." && e.Name != ".." {
			s.agree("readdirp "+e.Name, e.Inode, e.Attr)
		}
	}
	_, err := s.top.Fsyncdir(s.call(), &xlator.FsyncReq{FD: fd})
	s.say(err, nil, "fsyncdir")

	gone := s.opendir(sub)
	s.rmdir(d, "sub")
	s.say(nil, nil, "list a removed folder", len(s.list(gone, 0, 4096, false)) <= 2)
	s.opendir(w.Inode())
	s.lookup(sub, "x")
}

// list lists to the end in pieces of about size bytes.
func (s *script) list(fd *xlator.FD, from int64, size int, plus bool) []xlator.DirEntry {
	var all []xlator.DirEntry
	for {
		es := s.piece(fd, from, size, plus)
		if len(es) == 0 {
			return all
		}
		if next := es[len(es)-1].Offset; next == from {
			s.faultf("the listing does not move on from %d", from)
			return all
		}
		from = es[len(es)-1].Offset
		all = append(all, es...)
		if len(all) > 100000 {
			s.faultf("the listing does not end")
			return all
		}
	}
}

func (s *script) piece(fd *xlator.FD, from int64, size int, plus bool) []xlator.DirEntry {
	f := s.top.Readdir
	if plus {
		f = s.top.Readdirp
	}
	rep, err := f(s.call(), &xlator.ReaddirReq{FD: fd, Offset: from, Size: size})
	if err != nil {
		s.say(err, nil, "readdir")
		return nil
	}
	return rep.Entries
}

func namesOf(es []xlator.DirEntry) []string {
	var out []string
	for _, e := range es {
		out = append(out, e.Name)
	}
	return out
}

// summary is what does not depend on the order of the folder.
func (s *script) summary(es []xlator.DirEntry) string {
	var out []string
	for _, e := range es {
		g := e.GFID
		if e.Name == "." || e.Name == ".." {
			g = xlator.GFID{}
		}
		out = append(out, s.unsalted(fmt.Sprintf("%s %s %s", e.Name, e.Type, g)))
	}
	sort.Strings(out)
	return fmt.Sprint(len(out), " ", digest([]byte(fmt.Sprint(out))), " ", short(fmt.Sprint(out)))
}
