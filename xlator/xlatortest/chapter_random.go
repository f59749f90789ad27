package xlatortest

import (
	"fmt"
	"math/rand/v2"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// atRandom does 500 operations on a few names and descriptors; the seed says
// which.
func atRandom(s *script, seed uint64) {
	s.dice = rand.New(rand.NewPCG(seed, 0))
	r := &roulette{script: s, dirs: []*xlator.Inode{s.root}}
	r.dirs = append(r.dirs, s.mkdir(s.root, "x"), s.mkdir(s.root, "y"))
	for range 500 {
		r.turn()
	}
	s.dice = nil
	for _, fd := range r.fds {
		s.fstat(fd)
		s.read(fd, 0, 1<<20)
	}
	for _, d := range r.dirs {
		s.say(nil, nil, "list", s.summary(s.list(s.opendir(d), 0, 4096, true)))
	}
}

// roulette picks operations.
type roulette struct {
	*script
	dirs []*xlator.Inode
	fds  []*xlator.FD
}

func (r *roulette) dir() *xlator.Inode { return r.dirs[r.dice.IntN(len(r.dirs))] }
func (r *roulette) name() string       { return fmt.Sprint("f", r.dice.IntN(6)) }
func (r *roulette) offset() int64      { return int64(r.dice.IntN(20000)) }

func (r *roulette) turn() {
	n := r.dice.IntN(100)
	if len(r.fds) == 0 || len(r.fds) < 8 && n < 10 {
		flags := []uint32{unix.O_RDWR, unix.O_RDWR, unix.O_RDWR | unix.O_APPEND, unix.O_RDWR | unix.O_SYNC}[r.dice.IntN(4)]
		if fd := r.create(r.dir(), r.name(), flags); fd != nil {
			r.fds = append(r.fds, fd)
		}
		return
	}
	if n < 60 {
		r.onFile(r.fds[r.dice.IntN(len(r.fds))])
		return
	}
	r.onName()
}

func (r *roulette) onFile(fd *xlator.FD) {
	i := fd.Inode()
	switch r.dice.IntN(12) {
	case 0, 1, 2, 3:
		off := r.offset()
		if fd.Flags()&unix.O_APPEND != 0 {
			rep, err := r.bottom.Fstat(r.call(), &xlator.FstatReq{FD: fd})
			top, terr := r.top.Fstat(r.call(), &xlator.FstatReq{FD: fd})
			if err != nil || terr != nil {
				r.faultf("fstat before an append: %v, %v", err, terr)
				return
			}
			if off = int64(rep.Attr.Size); top.Attr.Valid() {
				off = int64(top.Attr.Size)
			}
		}
		r.write(fd, off, pattern(r.dice.IntN(256), 1+r.dice.IntN(9000)))
	case 4, 5:
		r.read(fd, r.offset(), 1+r.dice.IntN(20000))
	case 6:
		rep, err := r.top.Ftruncate(r.call(), &xlator.FtruncateReq{FD: fd, Size: uint64(r.offset())})
		r.attrs("ftruncate", i, rep, err)
	case 7:
		r.fstat(fd)
	case 8:
		r.fsync(fd, r.dice.IntN(2) == 0)
	case 9:
		rep, err := r.top.Setattr(r.call(), &xlator.SetattrReq{Inode: i, Setattr: xlator.Setattr{
			Mask: xlator.SetMode | xlator.SetMtime, Mode: uint32(r.dice.IntN(0o1000)), Mtime: xlator.Time{Sec: int64(r.dice.IntN(1e9))}}})
		r.attrs("setattr", i, rep, err)
	case 10:
		x := &xlator.Dict{}
		x.SetBytes("user.r", pattern(r.dice.IntN(256), r.dice.IntN(30)))
		_, err := r.top.Setxattr(r.call(), &xlator.SetxattrReq{Inode: i, Xattrs: x})
		r.say(err, nil, "setxattr")
		r.getxattr(i, "user.r")
	case 11:
		for n, o := range r.fds {
			if o == fd {
				r.fds = append(r.fds[:n], r.fds[n+1:]...)
				break
			}
		}
		r.release(fd)
	}
}

func (r *roulette) onName() {
	switch r.dice.IntN(8) {
	case 0, 1:
		r.lookup(r.dir(), r.name())
	case 2:
		r.unlink(r.dir(), r.name())
	case 3, 4:
		flags := []uint32{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[r.dice.IntN(4)]
		r.rename(r.dir(), r.name(), r.dir(), r.name(), flags)
	case 5:
		if i := r.lookup(r.dir(), r.name()); i != nil {
			r.link(i, r.dir(), r.name())
		}
	case 6:
		i := r.lookup(r.dir(), r.name())
		if i == nil {
			return
		}
		rep, err := r.top.Truncate(r.call(), &xlator.TruncateReq{Inode: i, Size: uint64(r.offset())})
		r.attrs("truncate", i, rep, err)
	case 7:
		if i := r.lookup(r.dir(), r.name()); i != nil && len(r.fds) < 8 {
			if fd := r.openFile(i, unix.O_RDWR); fd != nil {
				r.fds = append(r.fds, fd)
			}
		}
	}
}
