package locks

import (
	"context"
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// The kernel's own locks on a real file stand beside the table's:
//
//	go test -run NONE -bench . ./xlator/features/locks

func BenchmarkLockUnlockUncontended(b *testing.B) {
	tb := NewTable()
	k := spaceKey{file: fileA, kind: recordLocks}
	c := claim{owner: 1, end: 9, mode: exclusive}
	b.ReportAllocs()
	for b.Loop() {
		if err := tb.set(context.Background(), k, c, patience{}); err != nil {
			b.Fatal(err)
		}
		tb.unlock(k, c)
	}
}

func BenchmarkLockUnlockOfTheKernel(b *testing.B) {
	fd, err := unix.MemfdCreate("locks", unix.MFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	for b.Loop() {
		for _, typ := range [...]int16{unix.F_WRLCK, unix.F_UNLCK} {
			lk := unix.Flock_t{Type: typ, Len: 10}
			if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lk); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkLockUnlockBesideManyLocks(b *testing.B) {
	for _, c := range []struct{ owners, each int }{{1, 10_000}, {100, 100}, {10_000, 1}} {
		b.Run(fmt.Sprintf("owners=%d/locks=%d", c.owners, c.each), func(b *testing.B) {
			tb := NewTable()
			k := spaceKey{file: fileA, kind: recordLocks}
			for o := range c.owners {
				for i := range c.each {
					at := int64(o*c.each+i) * 2
					if err := tb.set(context.Background(), k, claim{owner: uint64(o + 2), start: at, end: at, mode: exclusive}, patience{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			own := claim{owner: 1, start: 1, end: 1, mode: exclusive}
			b.ReportAllocs()
			for b.Loop() {
				if err := tb.set(context.Background(), k, own, patience{}); err != nil {
					b.Fatal(err)
				}
				tb.unlock(k, own)
			}
		})
	}
}

// BenchmarkHandOver passes one lock round a queue of waiters.
func BenchmarkHandOver(b *testing.B) {
	for _, waiters := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			m := newMachine()
			k := spaceKey{file: fileA, kind: recordLocks}
			ask := func(o uint64) { m.request(k, claim{owner: o, end: 9, mode: exclusive}, true, 0) }
			for o := range waiters + 1 {
				ask(uint64(o))
			}
			holder := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				_, woken := m.unlock(k, claim{owner: holder, end: 9})
				m.leave(woken[0])
				ask(holder)
				holder = woken[0].want.owner
			}
		})
	}
}

func BenchmarkLkThroughTheTranslator(b *testing.B) {
	g := newGraph(b, nil)
	lock := &xlator.LkReq{FD: g.fd, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_WRLCK, End: 9, Owner: 1}}
	unlock := &xlator.LkReq{FD: g.fd, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_UNLCK, End: 9, Owner: 1}}
	ctx := xlator.Internal()
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range []*xlator.LkReq{lock, unlock} {
			if _, err := g.top.Lk(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
	}
}
