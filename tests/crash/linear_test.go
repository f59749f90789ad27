package crash

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/mnt"
)

// step is one operation of a history: on a register (a block of a file), or on
// a lock (a byte of it).
type step struct {
	kind  string // "read", "write", "lock", "unlock"
	key   int
	value uint64
	owner int
}

// registers says what registers do: a read returns what was written last.
var registers = porcupine.Model{
	Partition: partition,
	Init:      func() any { return uint64(0) },
	Step: func(state, in, out any) (bool, any) {
		if s := in.(step); s.kind == "write" {
			return true, s.value
		}
		return out.(uint64) == state.(uint64), state
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %v", in, out) },
}

// lockModel says what locks do: one owner at a time.
var lockModel = porcupine.Model{
	Partition: partition,
	Init:      func() any { return -1 },
	Step: func(state, in, out any) (bool, any) {
		s, holder := in.(step), state.(int)
		switch {
		case s.kind == "unlock":
			return holder == s.owner, -1
		case out.(bool):
			return holder == -1, s.owner
		}
		return holder != -1, holder
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %v", in, out) },
}

func partition(all []porcupine.Operation) (parts [][]porcupine.Operation) {
	by := map[int][]porcupine.Operation{}
	for _, o := range all {
		k := o.Input.(step).key
		by[k] = append(by[k], o)
	}
	for _, p := range by {
		parts = append(parts, p)
	}
	return parts
}

// history collects operations of several goroutines.
type history struct {
	mu  sync.Mutex
	ops []porcupine.Operation // guarded by mu
}

func (h *history) record(client int, in step, f func() (any, error)) error {
	start := time.Now().UnixNano()
	out, err := f()
	end := time.Now().UnixNano()
	if err != nil {
		return fmt.Errorf("%+v: %w", in, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: start, Output: out, Return: end})
	return nil
}

const (
	registersInFile = 4
	blockLen        = 4096
)

// aligned is memory for direct I/O.
func aligned() []byte {
	b := make([]byte, 2*blockLen)
	return b[-uintptr(unsafe.Pointer(&b[0]))&(blockLen-1):][:blockLen]
}

// TestRegistersAndLocksAreLinearizableAcrossKills: what several clients saw of
// blocks and locks of a file has an order in which it makes sense.
func TestRegistersAndLocksAreLinearizableAcrossKills(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	path := in(m.Dir, "f")
	must(t, os.WriteFile(path, make([]byte, registersInFile*blockLen), 0o644))
	var regs, locks history
	stop := make(chan struct{})
	errs := make(chan error, 16)
	var wg sync.WaitGroup
	for client := range 4 {
		wg.Go(func() {
			if err := registerClient(path, client, &regs, stop); err != nil {
				errs <- err
			}
		})
		wg.Go(func() {
			if err := lockClient(path, client, &locks, stop); err != nil {
				errs <- err
			}
		})
	}
	kills := storm(k, 40, 20*time.Millisecond, 200*time.Millisecond, rand.New(rand.NewPCG(7, 7)), func() bool { return len(errs) == 0 })
	close(stop)
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	t.Logf("%d kills, %d operations on registers, %d on locks", kills, len(regs.ops), len(locks.ops))
	for name, c := range map[string]struct {
		model porcupine.Model
		ops   []porcupine.Operation
	}{"registers": {registers, regs.ops}, "locks": {lockModel, locks.ops}} {
		if r := porcupine.CheckOperationsTimeout(c.model, c.ops, time.Minute); r != porcupine.Ok {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func registerClient(path string, client int, h *history, stop <-chan struct{}) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := rand.New(rand.NewPCG(8, uint64(client)))
	b := aligned()
	for n := uint64(1); ; n++ {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(r.IntN(2000)) * time.Microsecond):
		}
		s := step{kind: "read", key: r.IntN(registersInFile)}
		if r.IntN(2) == 0 {
			s.kind, s.value = "write", uint64(client)<<32|n
		}
		err := h.record(client, s, func() (any, error) {
			if s.kind == "write" {
				binary.LittleEndian.PutUint64(b, s.value)
				n, err := unix.Pwrite(fd, b, int64(s.key)*blockLen)
				if err == nil && n != blockLen {
					err = fmt.Errorf("wrote %d", n)
				}
				return nil, err
			}
			n, err := unix.Pread(fd, b, int64(s.key)*blockLen)
			if err == nil && n != blockLen {
				err = fmt.Errorf("read %d", n)
			}
			return binary.LittleEndian.Uint64(b), err
		})
		if err != nil {
			return err
		}
	}
}

func lockClient(path string, client int, h *history, stop <-chan struct{}) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := rand.New(rand.NewPCG(9, uint64(client)))
	set := func(s step, typ int16) (bool, error) {
		lk := unix.Flock_t{Type: typ, Start: int64(s.key), Len: 1}
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lk)
		if err == unix.EAGAIN {
			return false, nil
		}
		return err == nil, err
	}
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(r.IntN(1500)) * time.Microsecond):
		}
		s := step{kind: "lock", key: r.IntN(2), owner: client}
		got := false
		err := h.record(client, s, func() (any, error) {
			var err error
			got, err = set(s, unix.F_WRLCK)
			return got, err
		})
		if err != nil {
			return err
		}
		if !got {
			continue
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Microsecond)
		s.kind = "unlock"
		if err := h.record(client, s, func() (any, error) { _, err := set(s, unix.F_UNLCK); return true, err }); err != nil {
			return err
		}
	}
}
