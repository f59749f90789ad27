package client

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// The memory of a session that outlives the process is one file, kept by the
// keeper beside the socket. Numbers are little-endian.
//
//	package rpc's memory, rpc.Layout.Size() bytes
//	header, 4096 bytes
//	   0  u32  magic "HCLI"              stored last when a memory is made
//	   4  u32  layout version, 1
//	   8  u32  records that have ever been used
//	  12  u32  1 if the brick says that its back-end is down
//	  16  16   the volume's uuid
//	  32  u32  the port that the brick was last reached at
//	  36  u32  1 if the brick keeps the times that we send
//	records of open objects, 64 bytes each (record.go)
//	how locked files were seen last, 512 bytes each (lastseen.go)
//	payloads of writes on their way (arena.go)
const (
	// Names with the keeper: keptBrick, something of the brick, what it is.
	keptBrick  = "brick-"
	keptMemory = "-memory"
	keptSocket = "-socket"

	keptMagic   = 0x494c4348 // "HCLI"
	keptVersion = 1

	keptHeader = 4096
	keptArena  = 64 << 20

	offKeptMagic   = 0
	offKeptVersion = 4
	offKeptUsed    = 8
	offKeptSick    = 12
	offKeptVolume  = 16
	offKeptPort    = 32
	offKeptStamped = 36
)

// kept is what of a session outlives the process. A nil *kept keeps nothing.
type kept struct {
	// Constant after construction.
	keeper         xlator.Descriptors
	memory, socket string // names with the keeper
	found          bool   // an earlier process has made it
	rpc            rpc.Memory
	own            []byte // header, records and payloads
	open           records
	seen           lastSeens
	payloads       arena
}

// openKept finds the memory of the process before, or makes one. It is nil where
// nothing can be kept: without a keeper, over TLS, and for unix sockets, whose bytes the
// kernel does not count.
func openKept(keeper xlator.Descriptors, k key) (*kept, error) {
	if keeper == nil || k.network == "unix" || k.secure {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(k.String()))
	name := fmt.Sprintf("%s%x", keptBrick, sum[:8])
	c := &kept{keeper: keeper, memory: name + keptMemory, socket: name + keptSocket}
	fd, ok, err := keeper.Kept(c.memory)
	if err != nil {
		return nil, fmt.Errorf("memory of an earlier process: %w", err)
	}
	if ok {
		if err = c.mapFile(fd); err == nil && c.whole() {
			c.found = true
			c.open.load(c)
			c.seen.load()
			return c, nil
		}
		c.unmap() // another version's, or of a process that died while it made it
	}
	return c, c.make()
}

// make makes a new memory and gives it to the keeper.
func (c *kept) make() error {
	fd, err := xlator.MakeKept(c.keeper, c.memory, "holdfast-brick", keptSize())
	if err != nil {
		return fmt.Errorf("memory of a connection: %w", err)
	}
	if err := c.mapFile(fd); err != nil {
		return err
	}
	c.format()
	c.seen.load()
	return nil
}

func keptSize() int64 {
	return int64(rpc.DefaultLayout().Size() + keptHeader + maxRecords*recordSize + maxLastSeen*lastSeenSize + keptArena)
}

// mapFile maps the memory, and takes the descriptor.
func (c *kept) mapFile(fd int) error {
	f := os.NewFile(uintptr(fd), "holdfast-brick")
	defer f.Close()
	var err error
	if c.rpc, err = mapConnection(f); err != nil {
		return err
	}
	at := c.rpc.Layout().Size()
	c.own, err = unix.Mmap(fd, int64(at), int(keptSize())-at, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("memory of a connection: %w", err)
	}
	c.open.init(c.own[keptHeader:][:maxRecords*recordSize])
	rest := c.own[keptHeader+maxRecords*recordSize:]
	c.seen.init(rest[:maxLastSeen*lastSeenSize])
	c.payloads.init(rest[maxLastSeen*lastSeenSize:])
	return nil
}

// mapConnection maps package rpc's part of a memory file, if that is one of ours.
func mapConnection(f *os.File) (rpc.Memory, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("memory of a connection: %w", err)
	}
	if info.Size() != keptSize() {
		return nil, fmt.Errorf("memory of a connection: %d bytes, want %d: %w", info.Size(), keptSize(), syscall.EINVAL)
	}
	return rpc.Map(f, 0, rpc.DefaultLayout())
}

func (c *kept) unmap() {
	if c.own != nil {
		_ = unix.Munmap(c.own) // it is a mapping
		c.own = nil
	}
	if c.rpc != nil {
		_ = c.rpc.Close()
		c.rpc = nil
	}
}

// close lets the keeper forget it. The connection has been closed.
func (c *kept) close() error {
	err := c.keeper.Drop(c.socket)
	if e := c.keeper.Drop(c.memory); err == nil {
		err = e
	}
	c.seen.mu.Lock()
	clear(c.seen.at) // who comes late finds nothing
	c.seen.free = nil
	c.seen.mu.Unlock()
	c.open.mu.Lock()
	clear(c.open.at)
	c.unmap()
	c.open.mu.Unlock()
	return err
}

func (c *kept) half(off int) *uint32 { return (*uint32)(unsafe.Pointer(&c.own[off])) }

func (c *kept) whole() bool {
	return atomic.LoadUint32(c.half(offKeptMagic)) == keptMagic && *c.half(offKeptVersion) == keptVersion
}

func (c *kept) format() {
	*c.half(offKeptVersion) = keptVersion
	atomic.StoreUint32(c.half(offKeptMagic), keptMagic)
}

// keepSocket has the keeper hold the connection, too.
func (c *kept) keepSocket(sock net.Conn) error {
	sc, ok := sock.(syscall.Conn)
	if !ok {
		return syscall.ENOTSOCK
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var kerr error
	if err := raw.Control(func(fd uintptr) { kerr = c.keeper.Keep(c.socket, int(fd)) }); err != nil {
		return err
	}
	return kerr
}

// lastSocket is the connection of the process before; nil if there is none.
func (c *kept) lastSocket() net.Conn {
	fd, ok, err := c.keeper.Kept(c.socket)
	if err != nil || !ok {
		return nil
	}
	sock, err := socketOf(fd)
	if err != nil {
		return nil
	}
	return sock
}

// socketOf takes the descriptor of a socket.
func socketOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "brick")
	defer f.Close()
	return net.FileConn(f)
}

// note records what of the brick the next process cannot ask for.
func (c *kept) note(volume uuid.UUID, sock net.Conn) {
	if c == nil {
		return
	}
	copy(c.own[offKeptVolume:], volume[:])
	if a, ok := sock.RemoteAddr().(*net.TCPAddr); ok {
		atomic.StoreUint32(c.half(offKeptPort), uint32(a.Port))
	}
}

func (c *kept) volume() (id uuid.UUID) {
	copy(id[:], c.own[offKeptVolume:])
	return id
}

// port is where the brick was last reached, or 0.
func (c *kept) port() int {
	if c == nil {
		return 0
	}
	return int(atomic.LoadUint32(c.half(offKeptPort)))
}

// noteSick records whether the brick's back-end is down.
func (c *kept) noteSick(sick bool) {
	if c == nil {
		return
	}
	var v uint32
	if sick {
		v = 1
	}
	atomic.StoreUint32(c.half(offKeptSick), v)
}

// noteStamped records that the brick keeps the times that we send.
func (c *kept) noteStamped() {
	if c != nil {
		atomic.StoreUint32(c.half(offKeptStamped), 1)
	}
}

func (c *kept) stamped() bool { return atomic.LoadUint32(c.half(offKeptStamped)) != 0 }

func (c *kept) sick() bool { return atomic.LoadUint32(c.half(offKeptSick)) != 0 }

func word(b []byte, off int) *uint64 { return (*uint64)(unsafe.Pointer(&b[off])) }

var le = binary.LittleEndian
