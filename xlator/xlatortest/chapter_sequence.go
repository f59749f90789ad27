package xlatortest

import (
	"fmt"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// sequence reads a file in small pieces from its beginning to its end, while what
// comes next is changed in all ways.
func sequence(s *script) {
	const piece, pieces = 4096, 24
	fd := s.create(s.root, "f", unix.O_RDWR)
	s.write(fd, 0, pattern(1, pieces*piece))
	s.fsync(fd, false)
	from := s.create(s.root, "from", unix.O_RDWR)
	s.write(from, 0, pattern(2, piece))
	reader := s.openFile(fd.Inode(), unix.O_RDONLY)
	for n := range pieces {
		s.read(reader, int64(n*piece), piece)
		s.pause(from)
		next := int64(n+1) * piece
		switch n % 6 {
		case 1:
			s.write(fd, next, pattern(n, piece))
		case 2:
			rep, err := s.top.Zerofill(s.call(), &xlator.ZerofillReq{FD: fd, Offset: next, Len: piece})
			s.attrs("zerofill", fd.Inode(), rep, err)
		case 3:
			s.copy(from, 0, fd, next, piece)
		case 4:
			rep, err := s.top.Discard(s.call(), &xlator.DiscardReq{FD: fd, Offset: next, Len: piece})
			s.attrs("discard", fd.Inode(), rep, err)
		case 5:
			rep, err := s.top.Truncate(s.call(), &xlator.TruncateReq{Inode: fd.Inode(), Size: uint64(next + 100)})
			s.attrs(fmt.Sprint("truncate ", next+100), fd.Inode(), rep, err)
			s.read(reader, next, piece)
			s.write(fd, next, pattern(n, (pieces-n-1)*piece))
		}
	}
	s.read(reader, pieces*piece, piece)
}

// pause is as long as a few requests take: what was asked for ahead is there then,
// likely.
func (s *script) pause(other *xlator.FD) {
	for range 3 {
		if _, err := s.bottom.Fstat(s.call(), &xlator.FstatReq{FD: other}); err != nil {
			s.faultf("fstat: %v", err)
		}
	}
}
