package posix

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// keeper keeps descriptors for processes of a test that die, as the keeper of a
// mount does. It also is xlator.Descriptors in the process itself.
type keeper struct {
	mu sync.Mutex
	m  map[string]int // guarded by mu
}

func newKeeper(t testing.TB) *keeper {
	k := &keeper{m: map[string]int{}}
	t.Cleanup(func() {
		for name := range k.m {
			_ = k.Drop(name)
		}
	})
	return k
}

func (k *keeper) Keep(name string, fd int) error {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_ = k.Drop(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.m[name] = n
	return nil
}

func (k *keeper) Kept(name string) (int, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fd, ok := k.m[name]
	if !ok {
		return -1, false, nil
	}
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return n, err == nil, err
}

func (k *keeper) Drop(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if fd, ok := k.m[name]; ok {
		unix.Close(fd)
		delete(k.m, name)
	}
	return nil
}

func (k *keeper) names() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.m)
}

// message is what goes between a child process and its keeper, one per packet.
type message struct {
	Do, Name string
	OK       bool
}

// serve answers one child until its end of the socket is closed.
func (k *keeper) serve(c *net.UnixConn) {
	for {
		m, fd, err := receive(c)
		if err != nil {
			return
		}
		back := -1
		switch m.Do {
		case "keep":
			m.OK = k.Keep(m.Name, fd) == nil
			unix.Close(fd)
		case "kept":
			back, m.OK, _ = k.Kept(m.Name)
		case "drop":
			m.OK = k.Drop(m.Name) == nil
		}
		err = send(c, m, back)
		if back >= 0 {
			unix.Close(back)
		}
		if err != nil {
			return
		}
	}
}

func send(c *net.UnixConn, m message, fd int) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}

func receive(c *net.UnixConn) (m message, fd int, err error) {
	b, oob := make([]byte, 512), make([]byte, 64)
	n, on, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil || n == 0 {
		return m, -1, fmt.Errorf("read %d bytes: %w", n, os.ErrClosed)
	}
	fd = -1
	if cs, err := unix.ParseSocketControlMessage(oob[:on]); err == nil && len(cs) == 1 {
		if fds, err := unix.ParseUnixRights(&cs[0]); err == nil && len(fds) == 1 {
			fd = fds[0]
		}
	}
	return m, fd, json.Unmarshal(b[:n], &m)
}

// pair is a socket to the keeper, and the end for a child.
func (k *keeper) pair(t testing.TB) (child *os.File, done func()) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := conn(os.NewFile(uintptr(p[0]), "keeper"))
	ended := make(chan struct{})
	go func() { k.serve(c); close(ended) }()
	return os.NewFile(uintptr(p[1]), "worker"), func() { <-ended; c.Close() }
}

func conn(f *os.File) *net.UnixConn {
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		panic(err)
	}
	return c.(*net.UnixConn)
}

// farKeeper is xlator.Descriptors in a child process.
type farKeeper struct{ c *net.UnixConn }

func (k *farKeeper) ask(do, name string, fd int) (ok bool, got int, err error) {
	if err := send(k.c, message{Do: do, Name: name}, fd); err != nil {
		return false, -1, err
	}
	m, got, err := receive(k.c)
	return m.OK, got, err
}

func (k *farKeeper) Keep(name string, fd int) error {
	ok, _, err := k.ask("keep", name, fd)
	if err == nil && !ok {
		err = unix.EIO
	}
	return err
}

func (k *farKeeper) Kept(name string) (int, bool, error) {
	ok, fd, err := k.ask("kept", name, -1)
	return fd, ok, err
}

func (k *farKeeper) Drop(name string) error {
	_, _, err := k.ask("drop", name, -1)
	return err
}

// users is xlator.Opens as a test wants it.
type users struct {
	mu sync.Mutex
	m  map[xlator.GFID]int // guarded by mu
}

func (u *users) count(g xlator.GFID, by int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.m == nil {
		u.m = map[xlator.GFID]int{}
	}
	u.m[g] += by
}

func (u *users) HasOpen(g xlator.GFID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.m[g] > 0
}

func (u *users) EachOpen(fn func(xlator.GFID) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for g, n := range u.m {
		if n > 0 && !fn(g) {
			return
		}
	}
}
