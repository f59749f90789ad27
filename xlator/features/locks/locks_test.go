package locks

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
	"golang.org/x/sys/unix"
)

// brick is a leaf without files: what features/locks asks of what is below it
// is which brick that is, and nothing else.
type brick struct {
	xlator.Default
	id string
}

func (b *brick) Identity() string { return b.id }

// graph is one graph of a mount with an open file in it.
type graph struct {
	*xlatortest.World
	t   testing.TB
	top xlator.Fops
	fd  *xlator.FD
}

func newGraph(t testing.TB, pool *xlator.Pool) *graph {
	t.Helper()
	g := &graph{World: xlatortest.NewWorld(t, pool), t: t}
	g.top = g.Add(Type(), nil, &brick{id: "brick one"})
	g.Start()
	g.fd = g.Inodes.NewFD(g.Inodes.Get(fileA, xlator.TypeRegular), unix.O_RDWR, 1)
	return g
}

func (g *graph) lk(cmd xlator.LkCmd, l xlator.Lock) (xlator.Lock, syscall.Errno) {
	g.t.Helper()
	rep, err := g.top.Lk(xlator.Internal(), &xlator.LkReq{FD: g.fd, Cmd: cmd, Lock: l})
	if err != nil {
		return xlator.Lock{}, xlator.Errno(err)
	}
	return rep.Lock, 0
}

func (g *graph) sets(l xlator.Lock, want syscall.Errno) {
	g.t.Helper()
	if _, e := g.lk(xlator.LkSet, l); e != want {
		g.t.Fatalf("set %+v: %v, want %v", l, e, want)
	}
}

func lock(owner uint64, typ int16, start, end int64) xlator.Lock {
	return xlator.Lock{Type: typ, Start: start, End: end, Owner: owner, PID: uint32(owner) * 100}
}

func flock(owner uint64, typ int16) xlator.Lock {
	return xlator.Lock{Type: typ, Owner: owner, PID: uint32(owner) * 100, Flock: true, End: math.MaxInt64}
}

func (g *graph) table() *Table { return g.top.(*translator).table }

// waits starts a request that waits, and returns when it has come to wait; only
// inside synctest.
func (g *graph) waits(ctx *xlator.Call, l xlator.Lock, ticket uint64, detach chan struct{}) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := g.top.Lk(ctx, &xlator.LkReq{FD: g.fd, Cmd: xlator.LkWait, Lock: l, Ticket: ticket, Detach: detach})
		out <- err
	}()
	synctest.Wait()
	return out
}

func ends(t *testing.T, c <-chan error, want syscall.Errno) {
	t.Helper()
	if err := <-c; errnoOf(t, err) != want {
		t.Fatalf("the wait ended with %v, want %v", err, want)
	}
}

func TestTwoGraphsOfOneBrickSeeTheSameLocks(t *testing.T) {
	old := newGraph(t, nil)
	old.sets(lock(1, unix.F_WRLCK, 0, 9), 0)
	old.sets(flock(1, unix.F_RDLCK), 0)

	young := newGraph(t, old.Pool)
	young.sets(lock(2, unix.F_RDLCK, 5, 5), syscall.EAGAIN)
	young.sets(flock(2, unix.F_WRLCK), syscall.EAGAIN)
	old.Stop()
	young.sets(lock(2, unix.F_RDLCK, 5, 5), syscall.EAGAIN)
	young.sets(lock(1, unix.F_UNLCK, 0, math.MaxInt64), 0)
	young.sets(lock(2, unix.F_RDLCK, 5, 5), 0)
	young.Stop()
	if keys := old.Pool.Keys(); len(keys) != 0 {
		t.Fatalf("left in the pool: %q", keys)
	}

	fresh := newGraph(t, old.Pool)
	fresh.sets(flock(2, unix.F_WRLCK), 0)
}

func TestWaitingLockPassesThroughSwitches(t *testing.T) {
	synctest.Test(t, waitingLockPassesThroughSwitches)
}

func waitingLockPassesThroughSwitches(t *testing.T) {
	old := newGraph(t, nil)
	old.sets(lock(1, unix.F_WRLCK, 0, 9), 0)
	detach := make(chan struct{})
	b := old.waits(xlator.Internal(), lock(2, unix.F_WRLCK, 0, 9), 7, detach)
	c := old.waits(xlator.Internal(), lock(3, unix.F_WRLCK, 0, 9), 8, detach)
	for range 10 {
		young := newGraph(t, old.Pool)
		close(detach)
		ends(t, b, detachedErrno)
		ends(t, c, detachedErrno)
		old.Stop()
		detach = make(chan struct{})
		c = young.waits(xlator.Internal(), lock(3, unix.F_WRLCK, 0, 9), 8, detach)
		b = young.waits(xlator.Internal(), lock(2, unix.F_WRLCK, 0, 9), 7, detach)
		old = young
	}
	old.sets(lock(1, unix.F_UNLCK, 0, math.MaxInt64), 0)
	ends(t, b, 0)
	old.sets(lock(2, unix.F_UNLCK, 0, math.MaxInt64), 0)
	ends(t, c, 0)

	call := xlator.Internal()
	d := old.waits(call, lock(4, unix.F_RDLCK, 0, 9), 9, nil)
	young := newGraph(t, old.Pool)
	call.Interrupt()
	ends(t, d, syscall.EINTR)
	young.sets(lock(3, unix.F_UNLCK, 0, math.MaxInt64), 0)
	if held, waiting := young.table().Counts(); held+waiting != 0 {
		t.Fatalf("%d held, %d waiting", held, waiting)
	}
}

func TestGraphThatEndsDetachesItsWaits(t *testing.T) {
	retired := make(chan struct{})
	u := user{t, NewTable()}
	u.must(fileA, "1:w 0-9")
	k, c := record(t, fileA, "2:w 0-9")
	close(retired)
	err := u.set(t.Context(), k, c, patience{block: true, ticket: 1, retired: retired})
	if !errors.Is(err, xlator.ErrDetached) {
		t.Fatal(err)
	}
	u.counts(1, 1)
	k, c = record(t, fileA, "3:w 0-9")
	if err := u.set(t.Context(), k, c, patience{block: true, retired: retired}); xlator.Errno(err) != syscall.ENOTCONN {
		t.Fatal(err)
	}
	u.counts(1, 1)
}

func TestGetlkTellsTheFirstLockInTheWay(t *testing.T) {
	g := newGraph(t, nil)
	g.sets(lock(1, unix.F_WRLCK, 100, math.MaxInt64), 0)
	g.sets(lock(2, unix.F_RDLCK, 10, 19), 0)
	g.sets(flock(3, unix.F_WRLCK), 0)
	cases := []struct{ ask, want xlator.Lock }{
		{lock(9, unix.F_WRLCK, 0, math.MaxInt64), lock(2, unix.F_RDLCK, 10, 19)},
		{lock(9, unix.F_RDLCK, 0, math.MaxInt64), lock(1, unix.F_WRLCK, 100, math.MaxInt64)},
		{lock(9, unix.F_RDLCK, 0, 99), lock(9, unix.F_UNLCK, 0, 99)},
		{lock(1, unix.F_RDLCK, 0, math.MaxInt64), lock(1, unix.F_UNLCK, 0, math.MaxInt64)},
		{flock(9, unix.F_RDLCK), flock(3, unix.F_WRLCK)},
	}
	for _, c := range cases {
		if got, e := g.lk(xlator.LkGet, c.ask); e != 0 || got != c.want {
			t.Errorf("get %+v: %+v, %v, want %+v", c.ask, got, e, c.want)
		}
	}
}

func TestMalformedLocksAreRefused(t *testing.T) {
	g := newGraph(t, nil)
	for _, r := range []struct {
		cmd xlator.LkCmd
		l   xlator.Lock
	}{
		{xlator.LkGet, lock(1, unix.F_UNLCK, 0, 9)},
		{xlator.LkSet, lock(1, 77, 0, 9)},
		{xlator.LkSet, lock(1, unix.F_RDLCK, -1, 9)},
		{xlator.LkSet, lock(1, unix.F_RDLCK, 5, 4)},
		{xlator.LkCancel + 1, lock(1, unix.F_RDLCK, 0, 9)},
	} {
		if _, e := g.lk(r.cmd, r.l); e != syscall.EINVAL {
			t.Errorf("command %d of %+v: %v", r.cmd, r.l, e)
		}
	}
	g.sets(xlator.Lock{Type: unix.F_WRLCK, Owner: 1, Start: 5, End: 1, Flock: true}, 0) // an flock has no range
}

func TestInodelkDomainsAreApart(t *testing.T) {
	g := newGraph(t, nil)
	ctx := xlator.Internal()
	inodelk := func(domain string, cmd xlator.LkCmd, l xlator.Lock) syscall.Errno {
		_, err := g.top.Inodelk(ctx, &xlator.InodelkReq{Inode: g.fd.Inode(), Domain: domain, Cmd: cmd, Lock: l})
		return xlator.Errno(err)
	}
	finodelk := func(domain string, cmd xlator.LkCmd, l xlator.Lock) syscall.Errno {
		_, err := g.top.Finodelk(ctx, &xlator.FinodelkReq{FD: g.fd, Domain: domain, Cmd: cmd, Lock: l})
		return xlator.Errno(err)
	}
	want := func(got, want syscall.Errno) {
		t.Helper()
		if got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	want(inodelk("a", xlator.LkWait, lock(1, unix.F_WRLCK, 0, 9)), 0)
	want(finodelk("a", xlator.LkSet, lock(2, unix.F_RDLCK, 5, 5)), syscall.EAGAIN)
	want(finodelk("b", xlator.LkSet, lock(2, unix.F_WRLCK, 5, 5)), 0)
	want(finodelk("a", xlator.LkSet, lock(1, unix.F_WRLCK, 5, 5)), 0)             // an owner does not exclude itself
	want(inodelk("a", xlator.LkSet, lock(1, unix.F_UNLCK, 1, 9)), syscall.EINVAL) // unlocked as it was locked
	want(inodelk("a", xlator.LkSet, lock(1, unix.F_UNLCK, 0, 8)), syscall.EINVAL)
	want(inodelk("a", xlator.LkSet, lock(1, unix.F_UNLCK, 0, 9)), 0)
	want(inodelk("a", xlator.LkSet, lock(1, unix.F_UNLCK, 0, 9)), syscall.EINVAL)
	want(inodelk("a", xlator.LkSet, lock(2, unix.F_RDLCK, 5, 5)), syscall.EAGAIN)
	want(inodelk("a", xlator.LkSet, lock(1, unix.F_UNLCK, 5, 5)), 0)
	want(inodelk("a", xlator.LkSet, lock(2, unix.F_RDLCK, 5, 5)), 0)
	want(inodelk("a", xlator.LkGet, lock(2, unix.F_RDLCK, 5, 5)), syscall.EINVAL)
	g.sets(lock(3, unix.F_WRLCK, 0, math.MaxInt64), 0) // an application's lock is apart too
}

func TestEntrylkWaitsForNamesAndForAllNames(t *testing.T) {
	synctest.Test(t, entrylkWaitsForNamesAndForAllNames)
}

func entrylkWaitsForNamesAndForAllNames(t *testing.T) {
	g := newGraph(t, nil)
	entrylk := func(ctx *xlator.Call, cmd xlator.LkCmd, owner uint64, name string, typ int16) error {
		_, err := g.top.Entrylk(ctx, &xlator.EntrylkReq{Inode: g.fd.Inode(), Domain: "d", Name: name, Cmd: cmd, Type: typ, Owner: owner})
		return err
	}
	want := func(err error, want syscall.Errno) {
		t.Helper()
		if xlator.Errno(err) != want {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	ctx := xlator.Internal()
	want(entrylk(ctx, xlator.LkSet, 1, "one", unix.F_WRLCK), 0)
	want(entrylk(ctx, xlator.LkSet, 2, "two", unix.F_WRLCK), 0)
	want(entrylk(ctx, xlator.LkSet, 3, "", unix.F_RDLCK), syscall.EAGAIN)
	got := make(chan error, 1)
	go func() { got <- entrylk(ctx, xlator.LkWait, 3, "", unix.F_WRLCK) }()
	synctest.Wait()
	want(entrylk(ctx, xlator.LkSet, 1, "one", unix.F_UNLCK), 0)
	_, err := g.top.Fentrylk(ctx, &xlator.FentrylkReq{FD: g.fd, Domain: "d", Name: "two", Cmd: xlator.LkSet, Type: unix.F_UNLCK, Owner: 2})
	want(err, 0)
	want(<-got, 0)
	want(entrylk(ctx, xlator.LkSet, 1, "one", unix.F_RDLCK), syscall.EAGAIN)

	call := xlator.Internal()
	go func() { got <- entrylk(call, xlator.LkWait, 4, "one", unix.F_RDLCK) }()
	synctest.Wait()
	call.Interrupt()
	want(<-got, syscall.EINTR)
	want(entrylk(ctx, xlator.LkSet, 3, "", unix.F_UNLCK), 0)
	want(entrylk(ctx, xlator.LkSet, 3, "", unix.F_UNLCK), syscall.EINVAL)
}

func TestWhatCannotBeHonouredIsRefusedByName(t *testing.T) {
	for _, o := range [][2]string{
		{"mandatory-locking", "file"}, {"mandatory-locking", "forced"}, {"mandatory-locking", "optimal"}, {"enforce-mandatory-lock", "on"},
	} {
		typ := Type()
		vs, err := typ.Defaults()
		if err != nil {
			t.Fatal(err)
		}
		opt, _ := typ.FindOption(o[0])
		if vs[o[0]], err = opt.Parse(o[1]); err != nil {
			t.Fatal(err)
		}
		_, err = typ.New(&xlator.Env{Volume: "vol-locks", Type: typ, Options: vs, Children: []xlator.Fops{&brick{}}})
		if err == nil || !strings.Contains(err.Error(), "option "+o[0]+" "+o[1]+" cannot be honoured") {
			t.Errorf("%v: %v", o, err)
		}
	}
	w := xlatortest.NewWorld(t, nil)
	w.Add(Type(), map[string]string{"mandatory-locking": "off", "enforce-mandatory-lock": "off", "notify-contention": "on", "notify-contention-delay": "3"}, &brick{id: "x"})
	w.Start()
}

func TestStartNeedsASingleBrickBelow(t *testing.T) {
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(Type(), nil, &brick{})
	err := top.(xlator.Starter).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no single brick below features/locks") {
		t.Fatal(err)
	}
	w.Stop()
}

func TestDumpShowsLocksHeldAndWaiting(t *testing.T) { synctest.Test(t, dumpShowsLocksHeldAndWaiting) }

func dumpShowsLocksHeldAndWaiting(t *testing.T) {
	g := newGraph(t, nil)
	g.sets(lock(1, unix.F_WRLCK, 0, 9), 0)
	g.sets(lock(1, unix.F_RDLCK, 100, math.MaxInt64), 0)
	g.sets(flock(2, unix.F_RDLCK), 0)
	call := xlator.Internal()
	w := g.waits(call, lock(3, unix.F_RDLCK, 5, 5), 7, nil)
	got, err := json.Marshal(g.top.(xlator.Dumper).Dump())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"brick":"brick one","held":3,"waiting":1,"spaces":[` +
		`{"gfid":"00000000-0000-0000-0000-000000000001","kind":"flock","held":[` +
		`{"owner":"0000000000000002","pid":200,"type":"read","range":"0-eof"}],"waiting":[]},` +
		`{"gfid":"00000000-0000-0000-0000-000000000001","kind":"posix","held":[` +
		`{"owner":"0000000000000001","pid":100,"type":"write","range":"0-9"},` +
		`{"owner":"0000000000000001","pid":100,"type":"read","range":"100-eof"}],"waiting":[` +
		`{"owner":"0000000000000003","pid":300,"type":"read","range":"5-5","ticket":7,"attached":1}]}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, ok := g.top.(xlator.LockProvider); !ok {
		t.Error("features/locks does not say that it provides locks")
	}
	call.Interrupt()
	ends(t, w, syscall.EINTR)
}
