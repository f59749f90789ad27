package fuse

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holder keeps descriptors for the next session of the test.
type holder struct {
	t   testing.TB
	fds map[string]int
}

func newHolder(t testing.TB) *holder {
	h := &holder{t, map[string]int{}}
	t.Cleanup(func() {
		for _, fd := range h.fds {
			unix.Close(fd)
		}
	})
	return h
}

func (h *holder) Keep(name string, fd int) error {
	c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if old, ok := h.fds[name]; ok {
		unix.Close(old)
	}
	h.fds[name] = c
	return err
}

func (h *holder) Kept(name string) (fd int, ok bool, err error) {
	if fd, ok = h.fds[name]; ok {
		fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	}
	return fd, ok, err
}

func (h *holder) Drop(name string) error { return unix.Close(h.fds[name]) }

// process is a new one's told.
func (h *holder) process() *told {
	h.t.Helper()
	d := newTold(&Options{EntryTimeout: time.Minute, Descriptors: h, Log: slog.New(slog.DiscardHandler)})
	if d.record == nil {
		h.t.Fatal("nothing is recorded")
	}
	h.t.Cleanup(func() {
		if err := d.close(); err != nil {
			h.t.Error(err)
		}
	})
	return d
}

// inherits checks what a process takes back of those before.
func inherits(t *testing.T, d *told, want ...string) {
	t.Helper()
	var got []string
	d.inherited(func(dir uint64, name string) { got = append(got, fmt.Sprintf("%d %s", dir, name)) }, func() {})
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("takes back %q, want %q", got, want)
	}
}

func TestNextProcessKnowsWhatTheKernelWasTold(t *testing.T) {
	h := newHolder(t)
	first := h.process()
	inherits(t, first)
	for _, name := range []string{"a", "b", "a", "c"} {
		first.tell(1, name)
	}
	first.tell(1<<40, strings.Repeat("n", nameMax))
	second := h.process()
	second.tell(7, "d") // before it has taken anything back
	long := fmt.Sprint(1<<40, " ", strings.Repeat("n", nameMax))
	inherits(t, h.process(), "1 a", "1 b", "1 c", long, "7 d") // should it die by then
	inherits(t, second, "1 a", "1 b", "1 c", long)
	second.tell(7, "e")
	inherits(t, h.process(), "7 d", "7 e") // the others were taken back
}

// TestNamesAreKnownUntilTheyHaveBeenTakenBack, and not only until that has begun.
func TestNamesAreKnownUntilTheyHaveBeenTakenBack(t *testing.T) {
	h := newHolder(t)
	d := h.process()
	d.tell(1, "a")
	d.tell(2, "b")
	d.take(1)
	d.mu.Lock()
	d.record.rewrite(d.each)
	d.mu.Unlock()
	inherits(t, h.process(), "1 a", "2 b")
	d.take(2)
	d.mu.Lock()
	d.record.rewrite(d.each)
	d.mu.Unlock()
	inherits(t, h.process(), "2 b")
}

// TestRecordOfNamesDoesNotGrow: what is told again and again takes room once, and
// what there is no room for is not to be kept.
func TestRecordOfNamesDoesNotGrow(t *testing.T) {
	h := newHolder(t)
	d := h.process()
	const size = nameHead + nameMax
	rest := strings.Repeat("n", nameMax-6)
	name := func(i int) string { return fmt.Sprintf("%06d", i) + rest }
	for i := range namesHalf/size + 3000 {
		if !d.tell(1, name(i%1000)) {
			t.Fatalf("no room for name %d", i)
		}
		if i%1000 == 999 {
			d.take(1)
		}
	}
	all := 0
	for d.tell(2+uint64(all)/maxTold, name(all)) {
		all++
	}
	if room := namesHalf / 2 / size; all < room-1000 || all > room {
		t.Errorf("there is room for %d names, not %d", all, room)
	}
	got := map[string]bool{}
	h.process().inherited(func(dir uint64, name string) { got[name[:6]] = dir >= 2 }, func() {})
	for i := range all {
		if !got[name(i)[:6]] {
			t.Fatalf("name %d is not known", i)
		}
	}
	d.take(2)
	if !d.tell(9, "a") {
		t.Error("there is no room though many were taken back")
	}
}

func TestDamagedNamesAreBegunAnew(t *testing.T) {
	for name, damage := range map[string]func(n *nameLog){
		"magic":      func(n *nameLog) { *n.u32(0)++ },
		"version":    func(n *nameLog) { *n.u32(4)++ },
		"length":     func(n *nameLog) { *n.word() = namesHalf + 1 },
		"cut record": func(n *nameLog) { *n.word()-- },
		"no name":    func(n *nameLog) { n.at(0)[8] = 0 },
		"long name":  func(n *nameLog) { n.at(0)[8] = 255 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHolder(t)
			d := h.process()
			d.tell(1, "a")
			damage(d.record)
			next := h.process()
			inherits(t, next)
			next.tell(1, "b")
			inherits(t, h.process(), "1 b")
		})
	}
}

// TestKernelForgetsWhatEarlierProcessesHaveTold.
func TestKernelForgetsWhatEarlierProcessesHaveTold(t *testing.T) {
	h := newHolder(t)
	h.process().tell(1, "a")
	k := play(t, Options{EntryTimeout: time.Minute, AttrTimeout: time.Minute, Descriptors: h}, nil)
	k.s.ChangedAll()
	k.wantNotified("node 1 from 0", "node 1 name a flags 1")
	k.s.ChangedAll()
	k.wantNotified("node 1 from 0")
}
