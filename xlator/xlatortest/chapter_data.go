package xlatortest

import (
	"fmt"
	"math"
	"sync"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// data writes and reads, through several descriptors of one file.
func data(s *script) {
	rw := s.create(s.root, "f", unix.O_RDWR)
	i := rw.Inode()
	s.read(rw, 0, 100)
	s.write(rw, 0, pattern(1, 4096))
	s.write(rw, 4096, pattern(2, 4096))
	s.write(rw, 100, pattern(3, 50))
	s.write(rw, 8000, pattern(4, 1000))
	s.read(rw, 0, 20000)
	s.read(rw, 8999, 10)
	s.read(rw, 9000, 10)
	s.read(rw, 1<<40, 10)
	s.check("written file", i)
	s.fstat(rw)
	s.lookup(s.root, "f")

	ro, wo := s.openFile(i, unix.O_RDONLY), s.openFile(i, unix.O_WRONLY)
	s.write(ro, 0, pattern(5, 10))
	s.read(wo, 0, 10)
	s.write(wo, 2000, pattern(6, 3000))
	s.read(ro, 0, 20000)
	s.fsync(wo, true)
	s.fstat(ro)

	ap := s.openFile(i, unix.O_RDWR|unix.O_APPEND)
	for n := range 5 {
		s.write(ap, int64(9000+n*100), pattern(10+n, 100))
	}
	s.read(ap, 8900, 1000)

	sync := s.openFile(i, unix.O_RDWR|unix.O_SYNC)
	s.write(sync, 300, pattern(20, 700))
	s.write(rw, 9500, pattern(21, 1<<20))
	s.read(ro, 0, 2<<20)
	s.write(rw, 5<<20, pattern(22, 10))
	s.read(ro, 1<<20, 5<<20)
	s.write(rw, 0, nil)
	s.fsync(rw, false)
	s.check("file after fsync", i)
	s.copy(rw, 0, sync, 6<<20, 10000)
	s.read(ro, 6<<20, 20000)
	sum, err := s.top.Rchecksum(s.call(), &xlator.RchecksumReq{FD: ro, Offset: 100, Len: 5000})
	if err == nil {
		s.say(nil, nil, "rchecksum", sum.Weak, fmt.Sprintf(" %x", sum.Strong))
	} else {
		s.say(err, nil, "rchecksum")
	}
	for _, fd := range []*xlator.FD{ro, wo, ap, sync, rw} {
		s.release(fd)
	}
	s.check("file after the last close", i)
	s.lookup(s.root, "f")
	s.openFile(s.root, unix.O_RDWR)

	rep, err := s.top.Statfs(s.call(), &xlator.StatfsReq{Inode: s.root})
	if err == nil {
		s.say(nil, nil, "statfs", rep.Bsize, rep.Frsize, rep.NameMax)
	} else {
		s.say(err, nil, "statfs")
	}
	_, err = s.top.Ipc(s.call(), &xlator.IpcReq{Op: 1})
	s.say(err, nil, "ipc")
	_, err = s.top.Access(s.call(), &xlator.AccessReq{Inode: i, Mask: unix.R_OK | unix.W_OK})
	s.say(err, nil, "access")
}

func (s *script) fstat(fd *xlator.FD) {
	rep, err := s.top.Fstat(s.call(), &xlator.FstatReq{FD: fd})
	s.attrs("fstat", fd.Inode(), rep, err)
}

func (s *script) fsync(fd *xlator.FD, datasync bool) {
	rep, err := s.top.Fsync(s.call(), &xlator.FsyncReq{FD: fd, Datasync: datasync})
	s.attrs("fsync", fd.Inode(), rep, err)
}

func (s *script) copy(src *xlator.FD, from int64, dst *xlator.FD, to, n int64) {
	rep, err := s.top.CopyFileRange(s.call(), &xlator.CopyFileRangeReq{Src: src, SrcOff: from, Dst: dst, DstOff: to, Len: n})
	if err != nil {
		s.say(err, nil, "copy")
		return
	}
	s.say(nil, &rep.Attr, "copy", rep.Size)
	s.check("copy", dst.Inode())
}

// sizes truncates, allocates, punches and seeks.
func sizes(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	i := fd.Inode()
	step := func(what string, rep *xlator.AttrRep, err error) {
		s.attrs(what, i, rep, err)
		s.read(fd, 0, 1<<20)
	}
	s.write(fd, 0, pattern(1, 100000))
	for _, size := range []uint64{50000, 50001, 0, 70000, 4096, math.MaxInt64, 1 << 63} {
		rep, err := s.top.Truncate(s.call(), &xlator.TruncateReq{Inode: i, Size: size})
		step(fmt.Sprint("truncate ", size), rep, err)
		s.write(fd, 3000, pattern(2, 5000))
		rep, err = s.top.Ftruncate(s.call(), &xlator.FtruncateReq{FD: fd, Size: size / 2})
		step(fmt.Sprint("ftruncate ", size/2), rep, err)
	}
	rep, err := s.top.Ftruncate(s.call(), &xlator.FtruncateReq{FD: fd, Size: 0})
	step("ftruncate 0", rep, err)

	s.write(fd, 0, pattern(3, 65536))
	rep, err = s.top.Fallocate(s.call(), &xlator.FallocateReq{FD: fd, Offset: 60000, Len: 40000})
	step("fallocate", rep, err)
	rep, err = s.top.Fallocate(s.call(), &xlator.FallocateReq{FD: fd, Mode: unix.FALLOC_FL_KEEP_SIZE, Offset: 200000, Len: 4096})
	step("fallocate, same size", rep, err)
	rep, err = s.top.Discard(s.call(), &xlator.DiscardReq{FD: fd, Offset: 8192, Len: 16384})
	step("discard", rep, err)
	rep, err = s.top.Zerofill(s.call(), &xlator.ZerofillReq{FD: fd, Offset: 40000, Len: 100000})
	step("zerofill", rep, err)
	rep, err = s.top.Zerofill(s.call(), &xlator.ZerofillReq{FD: fd, Offset: 0, Len: 1 << 20, KeepSize: true})
	step("zerofill, same size", rep, err)
	rep, err = s.top.Fallocate(s.call(), &xlator.FallocateReq{FD: fd, Offset: 0, Len: 0})
	step("fallocate nothing", rep, err)

	rep, err = s.top.Ftruncate(s.call(), &xlator.FtruncateReq{FD: fd, Size: 0})
	step("ftruncate 0", rep, err)
	s.write(fd, 1<<20, pattern(4, 4096))
	s.seek(fd, 0, unix.SEEK_DATA)
	s.seek(fd, 0, unix.SEEK_HOLE)
	s.seek(fd, 1<<20, unix.SEEK_HOLE)
	s.seek(fd, 1<<21, unix.SEEK_DATA)
	s.seek(fd, 1<<21, unix.SEEK_HOLE)
}

func (s *script) seek(fd *xlator.FD, off int64, whence uint32) {
	what := fmt.Sprint("seek ", whence, " from ", off)
	rep, err := s.top.Seek(s.call(), &xlator.SeekReq{FD: fd, Offset: off, Whence: whence})
	if err != nil {
		s.say(err, nil, what)
		return
	}
	s.say(nil, nil, what, rep.Offset)
}

// nameless has files open that have no name any more, or none yet.
func nameless(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	s.write(fd, 0, pattern(1, 10000))
	s.unlink(s.root, "f")
	s.lookup(s.root, "f")
	s.fstat(fd)
	s.read(fd, 0, 20000)
	s.write(fd, 5000, pattern(2, 10000))
	s.read(fd, 0, 20000)
	rep, err := s.top.Ftruncate(s.call(), &xlator.FtruncateReq{FD: fd, Size: 6000})
	s.attrs("ftruncate", fd.Inode(), rep, err)
	rep, err = s.top.Fsetattr(s.call(), &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}})
	s.attrs("fchmod", fd.Inode(), rep, err)
	s.read(fd, 0, 20000)
	s.fsync(fd, false)
	s.create(s.root, "f", unix.O_RDWR|unix.O_EXCL)
	s.lookup(s.root, "f")
	s.fstat(fd)
	s.release(fd)

	s.bases++
	made, err := s.top.Icreate(s.call(), &xlator.IcreateReq{MakeReq: s.make(s.root, "", 0o600), Flags: unix.O_RDWR, Base: s.bases})
	if err != nil {
		s.say(err, nil, "icreate")
		return
	}
	tmp := made.FD
	s.open = append(s.open, tmp)
	s.say(nil, &made.Attr, "icreate", tmp.Inode().GFID(), tmp.Flags())
	s.write(tmp, 0, pattern(3, 5000))
	s.fstat(tmp)
	s.read(tmp, 0, 10000)
	s.link(tmp.Inode(), s.root, "named")
	s.lookup(s.root, "named")
	s.write(tmp, 5000, pattern(4, 100))
	s.fstat(tmp)
	s.release(tmp)
	s.lookup(s.root, "named")
}

// writers write to one file at the same time, each its own blocks, and read
// back what they wrote.
func writers(s *script) {
	const parallel, blocks, size = 4, 40, 3000
	first := s.create(s.root, "f", unix.O_RDWR)
	i := first.Inode()
	var fds []*xlator.FD
	for range parallel {
		fds = append(fds, s.openFile(i, unix.O_RDWR))
	}
	var wg sync.WaitGroup
	for w, fd := range fds {
		wg.Go(func() {
			for b := range blocks {
				off, want := int64((b*parallel+w)*size), pattern(b*parallel+w, size)
				if _, err := s.top.Writev(s.call(), &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: want}, Offset: off, Flags: fd.Flags()}); err != nil {
					s.faultf("writer %d: %v", w, err)
				}
				// Half the time through another descriptor.
				from := fds[(w+b)%parallel]
				rep, err := s.top.Readv(s.call(), &xlator.ReadvReq{FD: from, Size: size, Offset: off, Flags: from.Flags()})
				if err != nil || string(rep.Data) != string(want) {
					s.faultf("writer %d reads something else in block %d: %v", w, b, err)
				}
				if b%10 == 0 {
					if _, err := s.top.Fsync(s.call(), &xlator.FsyncReq{FD: fd}); err != nil {
						s.faultf("writer %d: fsync: %v", w, err)
					}
				}
				st, err := s.top.Stat(s.call(), &xlator.StatReq{Inode: i})
				if err != nil || st.Attr.Valid() && st.Attr.Size < uint64(off+size) {
					s.faultf("writer %d: size %d after writing up to %d: %v", w, st.Attr.Size, off+size, err)
				}
			}
		})
	}
	wg.Wait()
	s.check("file after the writers", i)
	s.read(first, 0, parallel*blocks*size+1)
	for _, fd := range fds {
		s.release(fd)
	}
	s.read(first, 0, parallel*blocks*size+1)
}
