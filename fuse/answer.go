package fuse

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
)

// stopPoll is how often AnswerAll looks whether it is to stop, in milliseconds.
const stopPoll = 100

// AnswerAll is for whoever holds a mount that no process can serve: it answers
// every request that is in a slot, and every one that is read from the device,
// with that errno, so that processes can end and the mount can be unmounted.
// Replies that were recorded are written as they are. What acknowledged writes
// are owed, and FORGETs, stay in their slots for a process that serves the mount
// after all; FORGETs that are read from the device are lost, which keeps nodes
// longer than they need to be. AnswerAll returns when stop is closed, or when the mount is gone.
// No process serves the mount meanwhile.
func AnswerAll(dev *Device, mem *state.Memory, errno syscall.Errno, stop <-chan struct{}) (gone bool, err error) {
	a := answerer{fd: dev.FD, status: gofuse.Status(errno)}
	if err := a.slots(mem); err != nil {
		// Nobody knows what was in flight: have it sent again, and read it.
		if rerr := sendResend(dev.FD); rerr != nil {
			return false, fmt.Errorf("answer requests in flight: %w; %w", err, rerr)
		}
	}
	if err := unix.SetNonblock(dev.FD, true); err != nil {
		return false, fmt.Errorf("answer requests: %w", err)
	}
	defer func() { _ = unix.SetNonblock(dev.FD, false) }()
	return a.device(stop)
}

type answerer struct {
	fd     int
	status gofuse.Status
}

// answer answers one request, if it wants an answer.
func (a *answerer) answer(in []byte) {
	h := (*gofuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch h.Opcode {
	case opForget, opBatchForget, opInterrupt, opNotifyReply:
		return
	}
	_ = writeStatus(a.fd, h.Unique, a.status) // ENOENT: nobody waits for it
}

// slots answers what an earlier process has left.
func (a *answerer) slots(mem *state.Memory) error {
	if !mem.Durable() {
		return nil
	}
	// As it is now: the caller's view may be older than the slots.
	fd, err := unix.FcntlInt(mem.File().Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), mem.File().Name())
	now, err := state.Open(file)
	if err != nil {
		file.Close()
		return err
	}
	defer now.Close()
	damaged := 0
	for c := range now.Chunks() {
		for i := range c.Slots {
			if !a.slot(now, c.Slot(i)) {
				damaged++
			}
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%d slots are damaged: %w", damaged, state.ErrDamaged)
	}
	return nil
}

// slot answers what is in a slot; false if it is damaged.
func (a *answerer) slot(mem *state.Memory, slot []byte) (ok bool) {
	e := state.EntryOf(slot)
	kind, ok := e.Kind()
	if !ok || kind == state.Free || kind == state.Reading && e.Unread(slot) {
		return ok
	}
	in := e.Request(slot)
	if in == nil {
		return false
	}
	if kind != state.Reading && e.Reply(slot) != nil {
		if fh, cursor := e.Cursor(); fh != 0 {
			moveCursor(mem, fh, cursor)
		}
		_, _ = unix.Write(a.fd, e.Reply(slot))
		if kind == state.Request {
			e.Clear()
		}
		return true
	}
	switch (*gofuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in))).Opcode {
	case opForget, opBatchForget:
		return true
	}
	a.answer(in)
	e.Clear()
	return true
}

// moveCursor notes that a base fd has reported its write errors.
func moveCursor(mem *state.Memory, fh, cursor uint64) {
	if uint32(fh) > mem.FDSlots() {
		return
	}
	f := mem.FDAt(uint32(fh))
	if generation, _, _, _, ok := f.Get(); ok && generation == uint32(fh>>32) {
		f.SetCursor(cursor)
	}
}

// device answers what the kernel sends.
func (a *answerer) device(stop <-chan struct{}) (gone bool, err error) {
	buf := make([]byte, defaultMaxWrite+2*pageSize)
	for {
		select {
		case <-stop:
			return false, nil
		default:
		}
		n, err := unix.Read(a.fd, buf)
		switch err {
		case nil:
			if n == 0 {
				return true, nil
			}
			if n >= int(unsafe.Sizeof(gofuse.InHeader{})) {
				a.answer(buf[:n])
			}
		case unix.EINTR, unix.ENOENT:
		case unix.EAGAIN:
			p := []unix.PollFd{{Fd: int32(a.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(p, stopPoll); err != nil && err != unix.EINTR {
				return false, fmt.Errorf("wait for requests: %w", err)
			}
		case unix.ENODEV, unix.ECONNABORTED:
			return true, nil
		default:
			return false, fmt.Errorf("read %s: %w", device, err)
		}
	}
}

// writeStatus answers a request that is known by its number only.
func writeStatus(fd int, unique uint64, status gofuse.Status) error {
	h := gofuse.OutHeader{Length: uint32(outHeader), Status: -int32(status), Unique: unique}
	_, err := unix.Write(fd, unsafe.Slice((*byte)(unsafe.Pointer(&h)), outHeader))
	return err
}

const notifyResend = 7 // FUSE_NOTIFY_RESEND

// sendResend asks the kernel to send again whatever it has sent and has no
// answer to.
func sendResend(fd int) error {
	err := writeStatus(fd, 0, -notifyResend)
	if err == nil || err == unix.ENODEV {
		return nil
	}
	return fmt.Errorf("the kernel does not send requests again (Linux 6.9 does): %w", err)
}
