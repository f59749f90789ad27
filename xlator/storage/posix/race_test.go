package posix

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// player does random things to a few names, through one of two graphs.
type player struct {
	*brick
	rnd  *rand.Rand
	open []*xlator.FD
}

var expected = map[unix.Errno]bool{0: true, unix.ENOENT: true, unix.EEXIST: true, unix.ENOTEMPTY: true, unix.EISDIR: true,
	unix.ENOTDIR: true, unix.ESTALE: true, unix.EINVAL: true, unix.ELOOP: true, unix.EPERM: true, unix.ENXIO: true}

func (p *player) name() string { return fmt.Sprint("n", p.rnd.IntN(4)) }

func (p *player) dir() *xlator.Inode {
	i := p.root
	for range p.rnd.IntN(3) {
		if j, _, err := p.lookup(i, p.name()); err == nil && j.Type() == xlator.TypeDirectory {
			i = j
		}
	}
	return i
}

func (p *player) hold(f *xlator.FD, err error) error {
	if err != nil {
		return err
	}
	p.open = append(p.open, f)
	if _, err := p.Writev(p.ctx, &xlator.WritevReq{FD: f, Payload: xlator.Payload{Bytes: []byte(f.Inode().GFID().String())}}); err != nil {
		return err
	}
	// What was opened is what is read, whatever its names do.
	if got := p.read(f, 0, 36); got != f.Inode().GFID().String() {
		p.t.Errorf("opened %s, read %s", f.Inode().GFID(), got)
	}
	st, err := p.Fstat(p.ctx, &xlator.FstatReq{FD: f})
	if err == nil && st.Attr.GFID != f.Inode().GFID() {
		p.t.Errorf("fstat of another object")
	}
	return err
}

func (p *player) step() error {
	d, n := p.dir(), p.name()
	base := uint64(p.rnd.IntN(3))
	switch p.rnd.IntN(14) {
	case 0, 1:
		rep, err := p.Create(p.ctx, &xlator.CreateReq{MakeReq: p.mk(d, n, 0o644), Flags: unix.O_RDWR | unix.O_CREAT, Base: base})
		if err != nil {
			return err
		}
		return p.hold(rep.FD, nil)
	case 2:
		_, err := p.Mkdir(p.ctx, &xlator.MkdirReq{MakeReq: p.mk(d, n, 0o755)})
		return err
	case 3:
		_, err := p.Symlink(p.ctx, &xlator.SymlinkReq{MakeReq: p.mk(d, n, 0o755), Target: "../../00/00/x"})
		return err
	case 4, 5:
		_, err := p.Unlink(p.ctx, &xlator.UnlinkReq{Parent: d, Name: n})
		return err
	case 6:
		_, err := p.Rmdir(p.ctx, &xlator.RmdirReq{Parent: d, Name: n})
		return err
	case 7, 8:
		_, err := p.brick.rename(d, n, p.dir(), p.name(), []uint32{0, 0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[p.rnd.IntN(5)])
		return err
	case 9:
		i, _, err := p.lookup(d, n)
		if err != nil {
			return err
		}
		_, err = p.Link(p.ctx, &xlator.LinkReq{Inode: i, Parent: p.dir(), Name: p.name()})
		return err
	case 10:
		i, _, err := p.lookup(d, n)
		if err != nil || i.Type() != xlator.TypeRegular {
			return err
		}
		rep, err := p.Open(p.ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDWR, Base: base})
		if err != nil {
			return err
		}
		return p.hold(rep.FD, nil)
	case 11:
		rep, err := p.Icreate(p.ctx, &xlator.IcreateReq{MakeReq: p.mk(d, "", 0o600), Flags: unix.O_RDWR})
		if err != nil {
			return err
		}
		if err := p.hold(rep.FD, nil); err != nil {
			return err
		}
		_, err = p.Link(p.ctx, &xlator.LinkReq{Inode: rep.FD.Inode(), Parent: d, Name: n})
		return err
	case 12:
		rep, err := p.Opendir(p.ctx, &xlator.OpenReq{Inode: d})
		if err != nil {
			return err
		}
		defer p.Release(rep.FD)
		l, err := p.Readdirp(p.ctx, &xlator.ReaddirReq{FD: rep.FD, Size: 4096})
		if err != nil {
			return err
		}
		for _, e := range l.Entries {
			if e.Inode != nil {
				_, _ = p.Stat(p.ctx, &xlator.StatReq{Inode: e.Inode})
			}
		}
	default:
		if len(p.open) > 0 {
			k := p.rnd.IntN(len(p.open))
			p.Release(p.open[k])
			p.open = append(p.open[:k], p.open[k+1:]...)
		}
	}
	return nil
}

func TestEverythingAtOnceLeavesACleanBrick(t *testing.T) {
	dir := newDir(t)
	a := mount(t, dir, nil)
	b := mount(t, dir, a.w.Pool)
	const steps = 1500
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	parallel(8, func(k int) bool {
		p := &player{brick: []*brick{a, b}[k%2], rnd: rand.New(rand.NewPCG(seed, uint64(k)))}
		for range steps {
			if err := p.step(); !expected[xlator.Errno(err)] {
				t.Errorf("player %d: %v", k, err)
			}
		}
		for _, f := range p.open {
			p.Release(f)
		}
		return true
	})
	a.checkLayout()
	if s := a.Runtime().Stats(); s.Open != 0 || s.SystemCalls != 0 {
		t.Errorf("left: %+v", s)
	}
	a.w.Stop()
	b.w.Stop()
	if n := descriptors(t, dir); n != 0 {
		t.Errorf("%d descriptors left", n)
	}
	// What another start sees is the same.
	again := mount(t, dir, nil)
	again.checkLayout()
}

func TestOpenNeverLosesAgainstRenameOrUnlink(t *testing.T) {
	b := fresh(t)
	for round := range 200 {
		i := b.file(b.root, "f", "content")
		d := fmt.Sprint("moved", round)
		out := parallel(3, func(k int) error {
			switch k {
			case 0:
				_, err := b.rename(b.root, "f", b.root, d, 0)
				if err != nil {
					return err
				}
				_, err = b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.root, Name: d})
				return err
			default:
				rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDONLY, Base: uint64(k)})
				if xlator.Errno(err) == unix.ESTALE {
					return nil // after the end
				}
				if err != nil {
					return err
				}
				defer b.Release(rep.FD)
				r, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: rep.FD, Size: 10})
				if err == nil && string(r.Data) != "content" {
					err = fmt.Errorf("read %q", r.Data)
				}
				return err
			}
		})
		for _, err := range out {
			b.must(err)
		}
	}
	b.checkLayout()
}

func TestDescriptorsStayFew(t *testing.T) {
	b := fresh(t)
	b.rt.paths.limit = 16
	for n := range 200 {
		b.stat(b.file(b.root, fmt.Sprint("f", n), ""))
	}
	for n := range 200 {
		b.stat(b.at(fmt.Sprint("f", n)))
	}
	if n := b.Runtime().Stats().PathCache; n > 16 {
		t.Fatalf("%d kept", n)
	}
	if n := descriptors(t, b.dir); n > 16+5 {
		t.Fatalf("%d descriptors", n)
	}
}

func TestShortOfDescriptorsTheCacheGivesWay(t *testing.T) {
	b := fresh(t)
	var files []*xlator.Inode
	for n := range 100 {
		files = append(files, b.file(b.root, fmt.Sprint("f", n), ""))
		b.stat(files[n])
	}
	next, err := unix.Dup(0) // descriptors below this one are taken
	b.must(err)
	b.must(unix.Close(next))
	var old unix.Rlimit
	b.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	b.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next), Max: old.Max}))
	defer func() { b.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	fd := b.open(files[0], unix.O_RDONLY)
	b.Release(fd)
	for _, i := range files {
		b.stat(i)
	}
	b.Release(b.create(b.root, "new", 0).FD)
}

func TestFewPlacesManyCallers(t *testing.T) {
	b := fresh(t)
	b.must(b.Reconfigure(xlator.Values{"io-limit": {Int: 2, Num: 2}}))
	parallel(50, func(k int) bool {
		n := fmt.Sprint("n", k%5)
		for range 20 {
			if rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, n, 0o644), Flags: unix.O_RDWR}); err == nil {
				_, _ = b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.root, Name: n})
				b.Release(rep.FD)
			} else if !expected[xlator.Errno(err)] {
				t.Error(err)
			}
		}
		return true
	})
	b.checkLayout()
}
