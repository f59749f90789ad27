package gluster_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// Offsets in the memory of a connection (package rpc).
const (
	slotsAt  = 4096
	slotSize = 4096

	hdrCookie   = 24
	hdrBaseSend = 32
	hdrBaseRecv = 40
	hdrDone     = 128
	hdrOrigin   = 136

	slotState  = 0 // 0 free, 1 sent, 2 reply kept
	slotXid    = 4
	slotUnique = 8
	slotEnd    = 24
	slotExpect = 60 // bit 31: it may wait for a lock

	recordHead = 12 // mark, xid, type
)

// connection is what the keeper has of the connection of a worker that is dead:
// the memory and the socket.
type connection struct {
	t        *testing.T
	mem      []byte
	slots    int
	ring     []byte
	sock     int
	consumed uint64
}

// openConnection finds the only connection of a keeper that is stopped.
func openConnection(t *testing.T, keeper int) *connection {
	t.Helper()
	c := &connection{t: t, sock: -1}
	fd := keptMemory(t, keeper)
	l := rpc.DefaultLayout()
	var err error
	c.mem, err = unix.Mmap(fd, 0, l.Size(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	ok(t, errors.Join(err, unix.Close(fd)))
	c.slots, c.ring = l.Slots, c.mem[slotsAt+l.Slots*slotSize:]
	c.sock = keptSocket(t, keeper, c.header(hdrCookie))
	_, received := c.counters()
	c.consumed = received - c.header(hdrBaseRecv)
	return c
}

func (c *connection) close() {
	ok(c.t, errors.Join(unix.Munmap(c.mem), unix.Close(c.sock)))
}

func (c *connection) header(off int) uint64 { return binary.LittleEndian.Uint64(c.mem[off:]) }

func (c *connection) slot(i int) []byte { return c.mem[slotsAt+i*slotSize:][:slotSize] }

// counters is how many bytes were given to the socket, and taken from it. Nobody
// else does either.
func (c *connection) counters() (sent, received uint64) {
	c.t.Helper()
	var info *unix.TCPInfo
	eventually(c.t, 20*time.Second, "the brick has all that was sent", func() bool {
		left, err := unix.IoctlGetInt(c.sock, unix.SIOCOUTQ)
		ok(c.t, err)
		return left == 0
	})
	// What is read next stands still only between the two.
	for {
		before, err := unix.IoctlGetInt(c.sock, unix.SIOCINQ)
		ok(c.t, err)
		info, err = unix.GetsockoptTCPInfo(c.sock, unix.IPPROTO_TCP, unix.TCP_INFO)
		ok(c.t, err)
		after, err := unix.IoctlGetInt(c.sock, unix.SIOCINQ)
		ok(c.t, err)
		if before == after {
			return info.Bytes_acked, info.Bytes_received - uint64(after)
		}
	}
}

// answered lists the slots of calls of the kernel's requests that were sent wholly
// and answered. What the brick has still to say to those that do not wait for
// locks it is waited for, and read into the ring: as if the worker had still done
// that.
func (c *connection) answered() (slots []int) {
	c.t.Helper()
	sent, _ := c.counters()
	accepted := sent - c.header(hdrBaseSend)
	outstanding := map[uint32]int{}
	for i := range c.slots {
		s, le := c.slot(i), binary.LittleEndian
		kernels := le.Uint64(s[slotUnique:])>>63 == 0
		switch state := le.Uint32(s[slotState:]); {
		case !kernels || le.Uint64(s[slotEnd:]) > accepted:
		case state == 2:
			slots = append(slots, i)
		case state == 1 && le.Uint32(s[slotExpect:])>>31 == 0:
			outstanding[le.Uint32(s[slotXid:])] = i
		}
	}
	at := c.header(hdrDone)
	for end := time.Now().Add(20 * time.Second); ; {
		for at+recordHead <= c.consumed {
			length := uint64(c.word(at) &^ (1 << 31))
			if at+4+length > c.consumed {
				break
			}
			xid, reply := c.word(at+4), c.word(at+8) == 1
			if i, is := outstanding[xid]; is && reply {
				slots = append(slots, i)
				delete(outstanding, xid)
			}
			at += 4 + length
		}
		if len(outstanding) == 0 {
			return slots
		}
		if time.Now().After(end) {
			c.t.Fatalf("%d calls are not answered", len(outstanding))
		}
		c.receive()
	}
}

// word is the big-endian number at that position of the incoming stream.
func (c *connection) word(at uint64) (n uint32) {
	for i := range uint64(4) {
		n = n<<8 | uint32(c.ring[c.place(at+i)])
	}
	return n
}

func (c *connection) place(at uint64) uint64 { return (at - c.header(hdrOrigin)) % uint64(len(c.ring)) }

// receive reads into the ring.
func (c *connection) receive() {
	c.t.Helper()
	room := uint64(len(c.ring)) - (c.consumed - c.header(hdrDone))
	place := c.place(c.consumed)
	n, err := unix.Read(c.sock, c.ring[place:][:min(room, uint64(len(c.ring))-place)])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(c.sock), Events: unix.POLLIN}}, 1000)
		if err != unix.EINTR {
			ok(c.t, err)
		}
	case err != nil || n == 0:
		c.t.Fatalf("the connection is lost: %d bytes, %v", n, err)
	default:
		c.consumed += uint64(n)
	}
}

// forget makes the slots free, as if they had never been used.
func (c *connection) forget(slots []int) {
	for _, i := range slots {
		binary.LittleEndian.PutUint32(c.slot(i)[slotState:], 0)
	}
}

// keptMemory opens the memory of the keeper's only connection.
func keptMemory(t *testing.T, keeper int) (fd int) {
	t.Helper()
	fd = -1
	eachFile(t, keeper, func(path, name string) {
		if !strings.Contains(name, "memfd:holdfast-brick") {
			return
		}
		if fd >= 0 {
			t.Fatal("the keeper has the memory of two connections")
		}
		var err error
		fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		ok(t, err)
	})
	if fd < 0 {
		t.Fatal("the keeper has no memory of a connection")
	}
	return fd
}

// keptSocket gets the keeper's socket with that cookie.
func keptSocket(t *testing.T, keeper int, cookie uint64) (sock int) {
	t.Helper()
	pidfd, err := unix.PidfdOpen(keeper, 0)
	ok(t, err)
	defer unix.Close(pidfd)
	sock = -1
	eachFile(t, keeper, func(path, name string) {
		if sock >= 0 || !strings.HasPrefix(name, "socket:") {
			return
		}
		n, err := strconv.Atoi(filepath.Base(path))
		ok(t, err)
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		ok(t, err)
		if got, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err == nil && got == cookie {
			sock = fd
			return
		}
		ok(t, unix.Close(fd))
	})
	if sock < 0 {
		t.Fatal("the keeper does not have the connection's socket")
	}
	return sock
}

// eachFile calls fn for each open file of a process.
func eachFile(t *testing.T, pid int, fn func(path, name string)) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	ok(t, err)
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil {
			fn(fd, name)
		}
	}
}
