package client

import (
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// descriptors keeps files for the next process.
type descriptors map[string]int

func (d descriptors) Keep(name string, fd int) (err error) {
	d[name], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return err
}

func (d descriptors) Kept(name string) (fd int, ok bool, err error) {
	if fd, ok = d[name]; !ok {
		return 0, false, nil
	}
	fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return fd, err == nil, err
}

func (d descriptors) Drop(name string) error {
	fd, ok := d[name]
	if !ok {
		return nil
	}
	delete(d, name)
	return unix.Close(fd)
}

// answered is a call of an earlier process that the brick has answered.
func answered(fop xdr.Fop, req, rep xdr.Message) rpc.Orphan {
	return rpc.Orphan{Prog: xdr.ProgramFops, Vers: xdr.ProgramFopsVersion, Proc: uint32(fop), Epoch: 1, Args: req.AppendTo(nil), Reply: rep.AppendTo(nil)}
}

// TestRecordedIsWhatTheProcessBeforeHasEntered: it may have died between getting a
// reply and that.
func TestRecordedIsWhatTheProcessBeforeHasEntered(t *testing.T) {
	keeper := descriptors{}
	before, err := openKept(keeper, key{network: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	defer before.unmap()
	const open, closing, closed, unrecorded = 0, 1, 2, 3
	for number := int64(open); number <= closed; number++ {
		before.opened(place{1, number}, remoteKey{base: 7, gfid: xlator.NewGFID()}, false, 0)
	}
	before.closing(place{1, closing})
	f, _ := before.closing(place{1, closed})
	before.closed(f.record)
	s := &session{log: slog.New(slog.DiscardHandler)}
	if s.kept, err = openKept(keeper, key{network: "tcp"}); err != nil || !s.kept.found {
		t.Fatalf("found %v, %v", s.kept.found, err)
	}
	defer func() {
		if err := s.kept.close(); err != nil {
			t.Error(err)
		}
	}()
	failed := xdr.Result{Ret: -1, Errno: int32(unix.ENOENT)}
	for _, c := range []struct {
		name string
		o    rpc.Orphan
		want bool
	}{
		{"open", answered(xdr.FopOpen, &xdr.OpenReq{}, &xdr.OpenRep{FD: open}), true},
		{"number of what is being closed", answered(xdr.FopOpen, &xdr.OpenReq{}, &xdr.OpenRep{FD: closing}), false},
		{"closed", answered(xdr.FopOpen, &xdr.OpenReq{}, &xdr.OpenRep{FD: closed}), false},
		{"unrecorded", answered(xdr.FopOpen, &xdr.OpenReq{}, &xdr.OpenRep{FD: unrecorded}), false},
		{"unrecorded directory", answered(xdr.FopOpendir, &xdr.OpendirReq{}, &xdr.OpenRep{FD: unrecorded}), false},
		{"unrecorded create", answered(xdr.FopCreate, &xdr.CreateReq{}, &xdr.CreateRep{FD: unrecorded}), false},
		{"failed open", answered(xdr.FopOpen, &xdr.OpenReq{}, &xdr.OpenRep{Result: failed, FD: unrecorded}), true},
		{"lock", answered(xdr.FopLk, &xdr.LkReq{Cmd: xdr.LkSet, Type: xdr.LockWrite}, &xdr.LkRep{}), true},
		{"nothing to undo", answered(xdr.FopUnlink, &xdr.UnlinkReq{}, &xdr.UnlinkRep{}), true},
	} {
		if got := s.recorded(c.o); got != c.want {
			t.Errorf("%s: recorded %v", c.name, got)
		}
	}
}

func TestAnotherLockOfTheSameOwnerIsSeen(t *testing.T) {
	file := xlator.NewGFID()
	q := &xdr.LkReq{GFID: file, Cmd: xdr.LkSet, Type: xdr.LockWrite, Flock: xdr.Flock{Owner: []byte("owner---")}}
	for _, c := range []struct {
		what string
		req  xdr.LkReq
		want bool
	}{
		{"another range", xdr.LkReq{GFID: file, Cmd: xdr.LkSet, Type: xdr.LockRead, Flock: xdr.Flock{Start: 7, Owner: q.Flock.Owner}}, true},
		{"a wait", xdr.LkReq{GFID: file, Cmd: xdr.LkSetWait, Type: xdr.LockWrite, Flock: q.Flock}, true},
		{"an unlock", xdr.LkReq{GFID: file, Cmd: xdr.LkSet, Type: xdr.LockUnlock, Flock: q.Flock}, false},
		{"a question", xdr.LkReq{GFID: file, Cmd: xdr.LkGet, Type: xdr.LockWrite, Flock: q.Flock}, false},
		{"another owner", xdr.LkReq{GFID: file, Cmd: xdr.LkSet, Type: xdr.LockWrite, Flock: xdr.Flock{Owner: []byte("another-")}}, false},
		{"another file", xdr.LkReq{Cmd: xdr.LkSet, Type: xdr.LockWrite, Flock: q.Flock}, false},
	} {
		if got := locksBeside(q, xdr.ProgramFops, uint32(xdr.FopLk), c.req.AppendTo(nil)); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	if locksBeside(q, xdr.ProgramFops, uint32(xdr.FopInodelk), q.AppendTo(nil)) {
		t.Error("a lock of another kind")
	}
}
