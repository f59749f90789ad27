package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Protocol is the version of what is said here. Fields and kinds may be added
// to it: what one side does not know it passes over.
const Protocol = 1

// Kind says what a message is. See the package comment for their order.
type Kind string

// From a worker.
const (
	Hello    Kind = "hello"    // Program, Layouts, PID, Protocol
	Prepared Kind = "prepared" //
	Mount    Kind = "mount"    // answered with Mounted or Failed
	Ready    Kind = "ready"    // Missing
	Keep     Kind = "keep"     // Name and a descriptor; answered with OK or Failed
	Drop     Kind = "drop"     // Name; answered
	Renew    Kind = "renew"    // the state memory is damaged; answered with Mounted or Failed
	Upgrade  Kind = "upgrade"  // Limit; descriptors "client" and "program"
	Reopen   Kind = "reopen"   // the log has been moved away
	Notify   Kind = "notify"   // Data and Serial; answered with Notified, which other answers overtake
	Drained  Kind = "drained"  //
	End      Kind = "end"      // the mount is gone; with an Error: why it cannot be served
)

// From a keeper.
const (
	Start   Kind = "start"   // Job, OOMScore
	Go      Kind = "go"      // the descriptors by name
	Mounted Kind = "mounted" // more of them, in answer to Mount and Renew
	OK      Kind = "ok"
	Failed  Kind = "failed" // Error
	Drain   Kind = "drain"
	// Notified says that the kernel was told; Serial, and Error if it did not like it.
	Notified Kind = "notified"
)

// To a service, in place of Hello.
const (
	Attach Kind = "attach" // Mountpoint or ID, Program, Layouts, Replace; answered with Start and Go, None or Failed
	None   Kind = "none"   // there is no such mount
	Offer  Kind = "offer"  // ID, Mountpoint, Job and the descriptors of a mount; answered with OK or Failed
	List   Kind = "list"   // answered with OK and Mounts
)

// Message is one message. The descriptors that come with it are named in Names,
// in their order.
type Message struct {
	Kind  Kind     `json:"kind"`
	Names []string `json:"names,omitempty"`

	Protocol int      `json:"protocol,omitempty"`
	Program  string   `json:"program,omitempty"` // version, for people
	Layouts  []uint64 `json:"layouts,omitempty"` // of the state memory
	PID      int      `json:"pid,omitempty"`

	// Job is what is mounted, as the program itself describes it.
	Job json.RawMessage `json:"job,omitempty"`
	// Keeper is who sends it.
	Keeper int `json:"keeper,omitempty"`
	// OOMScore is the oom_score_adj that the worker is to have.
	OOMScore string `json:"oom_score,omitempty"`
	// Notifies says, with Keeper, that it knows Notify.
	Notifies bool `json:"notifies,omitempty"`
	// Data is notifications of the kernel, one behind the other.
	Data   []byte `json:"data,omitempty"`
	Serial uint64 `json:"serial,omitempty"`
	// Restarted says that another worker served the mount before.
	Restarted bool `json:"restarted,omitempty"`

	Name  string        `json:"name,omitempty"`
	Limit time.Duration `json:"limit_ns,omitempty"`
	Error string        `json:"error,omitempty"`

	// Missing is what the mount does not promise, in words.
	Missing []string `json:"missing,omitempty"`

	ID         string      `json:"id,omitempty"`
	Mountpoint string      `json:"mountpoint,omitempty"`
	Replace    bool        `json:"replace,omitempty"`
	Mounts     []MountInfo `json:"mounts,omitempty"`
}

// MountInfo is a mount of a service.
type MountInfo struct {
	ID         string `json:"id"` // number of the connection
	Mountpoint string `json:"mountpoint"`
	State      string `json:"state"` // serving, waiting, failed
	Worker     int    `json:"worker,omitempty"`
}

const (
	maxMessage = 128 << 10
	maxFDs     = 200 // the kernel takes 253
	// sendLimit bounds how long a peer that does not read is waited for.
	sendLimit = 10 * time.Second
	// more announces descriptors of the message that follows.
	more Kind = "more"
)

// Conn is one end of a connection between a keeper and a worker. One goroutine
// receives; any may send.
type Conn struct {
	c *net.UnixConn

	sendMu sync.Mutex

	buf, oob []byte // of the receiver
}

// Pair makes a connection, one end of it to be inherited by a process.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	far := os.NewFile(uintptr(fds[1]), "keeper")
	c, err := NewConn(fds[0])
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return c, far, nil
}

// NewConn takes over the descriptor of a connected SOCK_SEQPACKET socket.
func NewConn(fd int) (*Conn, error) {
	f := os.NewFile(uintptr(fd), "keeper")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, unix.EBADF)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("connection to the keeper: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("connection to the keeper: not a unix socket")
	}
	return newConn(u), nil
}

func newConn(u *net.UnixConn) *Conn { return &Conn{c: u} }

// Send sends m with descriptors, which stay the caller's. m.Names has their
// names.
func (c *Conn) Send(m Message, fds ...int) error {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	m.Protocol = Protocol
	for len(fds) > maxFDs && len(m.Names) == len(fds) {
		if err := c.send(&Message{Kind: more, Names: m.Names[:maxFDs]}, fds[:maxFDs]); err != nil {
			return err
		}
		m.Names, fds = m.Names[maxFDs:], fds[maxFDs:]
	}
	return c.send(&m, fds)
}

func (c *Conn) send(m *Message, fds []int) error {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("%d bytes are too many", len(b))
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	if _, _, err := c.c.WriteMsgUnix(b, oob, nil); err != nil {
		return fmt.Errorf("send %s: %w", m.Kind, err)
	}
	return nil
}

// Receive waits for the next message. Its descriptors are the caller's, and are
// closed on exec. io.EOF says that the peer is gone.
func (c *Conn) Receive() (m Message, fds []int, err error) {
	var names []string
	for {
		part, got, err := c.receive()
		names, fds = append(names, part.Names...), append(fds, got...)
		if err == nil && len(names) != len(fds) {
			err = fmt.Errorf("receive %s: %d descriptors with %d names", part.Kind, len(fds), len(names))
		}
		if err != nil {
			closeAll(fds)
			return Message{}, nil, err
		}
		if part.Kind != more {
			part.Names = names
			return part, fds, nil
		}
	}
}

func (c *Conn) receive() (m Message, fds []int, err error) {
	if c.buf == nil {
		c.buf, c.oob = make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*(maxFDs+53)))
	}
	n, oobn, flags, _, err := c.c.ReadMsgUnix(c.buf, c.oob)
	if err != nil {
		if gone(err) {
			err = io.EOF
		}
		return m, nil, err
	}
	if msgs, perr := unix.ParseSocketControlMessage(c.oob[:oobn]); perr == nil {
		for i := range msgs {
			if got, rerr := unix.ParseUnixRights(&msgs[i]); rerr == nil {
				fds = append(fds, got...)
			}
		}
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return m, fds, errors.New("receive: a message, or its descriptors, did not fit")
	}
	if err := json.Unmarshal(c.buf[:n], &m); err != nil {
		return m, fds, fmt.Errorf("receive %q: %w", c.buf[:n], err)
	}
	return m, fds, nil
}

// gone reports whether an error of a socket means that the peer has ended.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, net.ErrClosed)
}

// Close closes the connection; who receives gets io.EOF.
func (c *Conn) Close() { c.c.Close() }

// expect receives a message that has to be of that kind.
func (c *Conn) expect(limit time.Duration, kinds ...Kind) (Message, []int, error) {
	if limit > 0 {
		if err := c.c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return Message{}, nil, err
		}
		defer func() { _ = c.c.SetReadDeadline(time.Time{}) }()
	}
	m, fds, err := c.Receive()
	if err != nil {
		return m, nil, fmt.Errorf("wait for %q: %w", kinds, err)
	}
	for _, k := range kinds {
		if m.Kind == k {
			return m, fds, nil
		}
	}
	closeAll(fds)
	if m.Kind == Failed {
		return m, nil, errors.New(m.Error)
	}
	return m, nil, fmt.Errorf("got %q, waited for %q", m.Kind, kinds)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
