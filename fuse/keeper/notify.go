package keeper

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fuse"
)

// The kernel carries a notification out in the write(2) that brings it. It waits
// there for pages that are being read and for locks of directories, and cannot be
// killed: a worker would wait for its own requests, and if it is killed meanwhile it
// does not die before they are answered, which nobody can do before it is dead. So
// it has the keeper write them.

// notify writes what a worker has sent, and tells it when the kernel has done it.
// dev may be nil: there is no mount yet.
func notify(c *Conn, dev *fuse.Device, m Message) {
	err := errors.New("there is no mount yet")
	fd := -1
	if dev != nil {
		fd, err = unix.FcntlInt(uintptr(dev.FD), unix.F_DUPFD_CLOEXEC, 3)
	}
	answer := func(err error) {
		a := Message{Kind: Notified, Serial: m.Serial}
		if err != nil {
			a.Error = err.Error()
		}
		_ = c.Send(a) // the worker may be gone
	}
	if err != nil {
		answer(err)
		return
	}
	go func() { // it ends with the request that the kernel waits for, or with the mount
		err := fuse.WriteNotifications(fd, m.Data)
		answer(errors.Join(err, unix.Close(fd)))
	}()
}

// Notify has the keeper tell the kernel what is in messages, and waits until that is
// done, or until quit is closed. done is false if there is no keeper that does it.
// There is one call at a time.
func (l *Link) Notify(messages []byte, quit <-chan struct{}) (done bool, err error) {
	at := l.attached()
	if at == nil || !at.notifies {
		return false, nil
	}
	l.notified++
	if err := at.conn.Send(Message{Kind: Notify, Serial: l.notified, Data: messages}); err != nil {
		return false, nil // it is being lost
	}
	for {
		select {
		case m, ok := <-at.notified:
			switch {
			case !ok:
				return false, nil
			case m.Serial != l.notified:
			case m.Error != "":
				return true, fmt.Errorf("the keeper: %s", m.Error)
			default:
				return true, nil
			}
		case <-quit:
			return true, nil
		}
	}
}
