package xlatortest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// script plays operations and records what they say.
type script struct {
	phase       xlator.PhaseName
	top, bottom xlator.Fops
	root        *xlator.Inode
	lines       []line
	made        uint64
	salt        uint32 // gfids begin with it
	bases       uint64
	open        []*xlator.FD
	// dice, when set, decide how often check looks: a look may hide a fault by
	// putting things right.
	dice *rand.Rand

	mu     sync.Mutex
	faults []string // guarded by mu
}

// faultf notes what is wrong in itself, not by comparison.
func (s *script) faultf(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, a...))
}

func (s *script) transparent() bool { return s.phase != xlator.PhaseServing }

// call is the context of one operation, by root.
func (s *script) call() *xlator.Call { return &xlator.Call{PID: 1, LockOwner: 1} }

const defaultSalt = 0xc0000000

// gfid is the next identity, the same in each run but for the salt.
func (s *script) gfid() xlator.GFID {
	s.made++
	g := xlator.GFID{6: 0x40, 8: 0x80}
	binary.BigEndian.PutUint32(g[:], s.salt)
	binary.BigEndian.PutUint32(g[12:], uint32(s.made))
	return g
}

func (s *script) make(parent *xlator.Inode, name string, mode uint32) xlator.MakeReq {
	return xlator.MakeReq{Parent: parent, Name: name, GFID: s.gfid(), Mode: mode}
}

// say records the outcome of an operation.
func (s *script) say(err error, attr *xlator.Iatt, what string, must ...any) {
	l := line{what: what}
	if err != nil {
		l.must = errno(err)
	} else {
		l.must = fmt.Sprint(must...)
		if attr != nil && attr.Valid() {
			l.attr = describe(attr)
		}
	}
	l.what, l.must, l.attr = s.unsalted(l.what), s.unsalted(l.must), s.unsalted(l.attr)
	s.lines = append(s.lines, l)
}

// unsalted is text as it would be without a salt.
func (s *script) unsalted(text string) string {
	if s.salt == defaultSalt {
		return text
	}
	return strings.ReplaceAll(text, fmt.Sprintf("%08x-", s.salt), fmt.Sprintf("%08x-", uint32(defaultSalt)))
}

func errno(err error) string {
	if errors.Is(err, xlator.ErrDetached) {
		return "detached"
	}
	return unix.ErrnoName(xlator.Errno(err))
}

// describe leaves out what two runs cannot have in common.
func describe(a *xlator.Iatt) string {
	size := a.Size
	if a.Type == xlator.TypeDirectory {
		size = 0
	}
	return fmt.Sprintf("%s %s %o nlink %d owner %d:%d rdev %d size %d", a.GFID, a.Type, a.Mode, a.Nlink, a.UID, a.GID, a.Rdev, size)
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b))[:16] }

// pattern is n bytes that tell where they came from.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*131 + i*7 + i>>8)
	}
	return b
}

// check asks for the attributes through the top and holds them against those
// that the leaf has.
func (s *script) check(what string, i *xlator.Inode) {
	if s.dice != nil && s.dice.IntN(4) > 0 {
		return
	}
	if i == nil {
		s.say(nil, nil, "check "+what, "there is none")
		return
	}
	rep, err := s.top.Stat(s.call(), &xlator.StatReq{Inode: i})
	if err != nil {
		s.say(err, nil, "stat "+what)
		return
	}
	s.say(nil, &rep.Attr, "stat "+what, rep.Attr.Valid())
	s.agree("stat "+what, i, rep.Attr)
}

func (s *script) agree(what string, i *xlator.Inode, got xlator.Iatt) {
	truth, err := s.bottom.Stat(s.call(), &xlator.StatReq{Inode: i})
	if err != nil {
		s.faultf("%s: %s here, but the leaf says %v", what, describe(&got), err)
		return
	}
	want := truth.Attr
	got.Atime, want.Atime = xlator.Time{}, xlator.Time{}
	got.Blocks, want.Blocks = 0, 0
	got.Btime, want.Btime = xlator.Time{}, xlator.Time{}
	if got != want {
		s.faultf("%s: %s\n%+v\nbut the leaf has\n%+v", s.phase, what, got, want)
	}
}

// lookup looks a name up and checks what it says against the leaf.
func (s *script) lookup(parent *xlator.Inode, name string) *xlator.Inode {
	rep, err := s.top.Lookup(s.call(), &xlator.LookupReq{Parent: parent, Name: name})
	if err != nil {
		s.say(err, nil, "lookup "+short(name))
		return nil
	}
	s.say(nil, &rep.Attr, "lookup "+short(name), rep.Inode.GFID(), rep.Inode.Type())
	if rep.Attr.Valid() {
		s.agree("lookup "+short(name), rep.Inode, rep.Attr)
	}
	return rep.Inode
}

func short(name string) string {
	if len(name) > 40 {
		return fmt.Sprintf("%s... (%d bytes)", name[:20], len(name))
	}
	return name
}

// entry records the reply of whatever makes a name.
func (s *script) entry(what string, rep *xlator.EntryRep, err error) *xlator.Inode {
	if err != nil {
		s.say(err, nil, what)
		return nil
	}
	s.say(nil, &rep.Attr, what, rep.Inode.GFID(), rep.Inode.Type())
	s.say(nil, &rep.PostParent, what+": parent after it")
	s.check(what, rep.Inode)
	return rep.Inode
}

func (s *script) mkdir(parent *xlator.Inode, name string) *xlator.Inode {
	rep, err := s.top.Mkdir(s.call(), &xlator.MkdirReq{MakeReq: s.make(parent, name, 0o755)})
	return s.entry("mkdir "+short(name), rep, err)
}

func (s *script) create(parent *xlator.Inode, name string, flags uint32) *xlator.FD {
	s.bases++
	what := fmt.Sprintf("create %s flags %x", short(name), flags)
	rep, err := s.top.Create(s.call(), &xlator.CreateReq{MakeReq: s.make(parent, name, 0o644), Flags: flags, Base: s.bases})
	if err != nil {
		s.say(err, nil, what)
		return nil
	}
	s.open = append(s.open, rep.FD)
	s.say(nil, &rep.Attr, what, rep.FD.Inode().GFID(), rep.FD.Flags(), rep.FD.Base(), rep.Made)
	s.say(nil, &rep.PostParent, what+": parent after it")
	s.check(what, rep.FD.Inode())
	return rep.FD
}

func (s *script) openFile(i *xlator.Inode, flags uint32) *xlator.FD {
	s.bases++
	rep, err := s.top.Open(s.call(), &xlator.OpenReq{Inode: i, Flags: flags, Base: s.bases})
	return s.opened(fmt.Sprintf("open flags %x", flags), rep, err)
}

func (s *script) opendir(i *xlator.Inode) *xlator.FD {
	s.bases++
	rep, err := s.top.Opendir(s.call(), &xlator.OpenReq{Inode: i, Flags: unix.O_RDONLY | unix.O_DIRECTORY, Base: s.bases})
	return s.opened("opendir", rep, err)
}

func (s *script) opened(what string, rep *xlator.OpenRep, err error) *xlator.FD {
	if err != nil {
		s.say(err, nil, what)
		return nil
	}
	s.open = append(s.open, rep.FD)
	s.say(nil, nil, what, rep.FD.Inode().GFID(), rep.FD.Flags(), rep.FD.Base())
	return rep.FD
}

func (s *script) release(fd *xlator.FD) {
	for i, o := range s.open {
		if o == fd {
			s.open = append(s.open[:i], s.open[i+1:]...)
			_, err := s.top.Flush(s.call(), &xlator.FlushReq{FD: fd})
			s.say(err, nil, "flush")
			s.top.Release(fd)
			return
		}
	}
}

func (s *script) releaseAll() {
	for len(s.open) > 0 {
		fd := s.open[0]
		s.open = s.open[1:]
		s.top.Release(fd)
	}
}

// write writes and, where the data has to be with the leaf by now, looks there.
func (s *script) write(fd *xlator.FD, off int64, data []byte) {
	what := fmt.Sprintf("write %d at %d", len(data), off)
	rep, err := s.top.Writev(s.call(), &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: append([]byte(nil), data...)}, Offset: off, Flags: fd.Flags()})
	if err != nil {
		s.say(err, nil, what)
		return
	}
	// The size in early answers is not known; the check below asks.
	s.say(nil, &rep.Attr, what, rep.Size)
	s.say(nil, &rep.Pre, what+": before it")
	if fd.Flags()&unix.O_ACCMODE == unix.O_RDWR && (s.transparent() || fd.Flags()&unix.O_SYNC != 0) {
		got, err := s.bottom.Readv(s.call(), &xlator.ReadvReq{FD: fd, Size: len(data), Offset: off, Flags: fd.Flags()})
		if err != nil || string(got.Data) != string(data) {
			s.faultf("%s: %s returned, but the leaf does not have it: %v", s.phase, what, err)
		}
	}
}

func (s *script) read(fd *xlator.FD, off int64, size int) {
	what := fmt.Sprintf("read %d at %d", size, off)
	rep, err := s.top.Readv(s.call(), &xlator.ReadvReq{FD: fd, Size: size, Offset: off, Flags: fd.Flags()})
	if err != nil {
		s.say(err, nil, what)
		return
	}
	s.say(nil, &rep.Attr, what, len(rep.Data), " ", digest(rep.Data))
}

// attrs records a reply of attributes and checks them.
func (s *script) attrs(what string, i *xlator.Inode, rep *xlator.AttrRep, err error) {
	if err != nil {
		s.say(err, nil, what)
		return
	}
	s.say(nil, &rep.Attr, what)
	s.say(nil, &rep.Pre, what+": before it")
	s.check(what, i)
}
