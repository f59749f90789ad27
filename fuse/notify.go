package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Codes of notifications, as in the kernel's uapi/linux/fuse.h.
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3

	// expireOnly has a name looked up again before it is used next, instead of
	// dropped, which would unmount what is mounted on it (FUSE_EXPIRE_ONLY). A
	// kernel before 6.2 does not know that and drops it.
	expireOnly = 1
)

// notifier sends notifications, one after the other, in a goroutine of its own.
// In the kernel they take the directory's lock, or wait for pages that are
// being read or written: sent by a handler, one may wait for its own request.
type notifier struct {
	s *Session // constant after construction

	wg   sync.WaitGroup
	quit chan struct{} // closed by stop; constant after construction
	out  []byte        // messages that are to be sent; run's

	mu     sync.Mutex
	wake   *sync.Cond                   // on mu
	queue  []notification               // guarded by mu
	queued map[uint64]struct{}          // guarded by mu; nodeids in the queue, whole inodes
	stale  map[xlator.GFID]xlator.Stale // guarded by mu; files in the queue
	all    bool                         // guarded by mu; everything is in the queue
	closed bool                         // guarded by mu
}

// notification is about a node, or a name in it, or what has become stale of a
// file, or everything.
type notification struct {
	node  uint64
	name  string // of an entry; "": the inode
	attrs bool   // not the cached pages
	file  xlator.GFID
	stale xlator.Stale
	all   bool
}

func newNotifier(s *Session) *notifier {
	n := &notifier{s: s, quit: make(chan struct{}), queued: map[uint64]struct{}{}, stale: map[xlator.GFID]xlator.Stale{}}
	n.wake = sync.NewCond(&n.mu)
	return n
}

// Invalidate asks the kernel to forget the attributes and cached pages of a
// node. It returns at once; the kernel is told soon after, from another
// goroutine. A node the kernel does not know does no harm.
func (s *Session) Invalidate(nodeid uint64) { s.notifier.add(notification{node: nodeid}) }

// InvalidateEntry asks the kernel to look a name up again before it uses it. It
// returns at once.
func (s *Session) InvalidateEntry(parent uint64, name string) {
	if name != "" {
		s.notifier.add(notification{node: parent, name: name})
	}
}

// Changed has the kernel forget what another client has changed of a file. It
// returns at once.
func (s *Session) Changed(file xlator.GFID, what xlator.Stale) {
	s.notifier.add(notification{file: file, stale: what})
}

// ChangedAll is Changed for everything that the kernel keeps for longer than a
// moment: what happened meanwhile nobody knows.
func (s *Session) ChangedAll() {
	if s.opts.AttrTimeout > moment || s.opts.EntryTimeout > moment || s.opts.NegativeTimeout > moment {
		s.notifier.add(notification{all: true})
	}
}

// isQueued notes x as queued, and reports whether the same is already. mu is held.
func (n *notifier) isQueued(x notification) bool {
	switch {
	case x.all:
		was := n.all
		n.all = true
		return was
	case !x.file.IsZero():
		was, ok := n.stale[x.file]
		n.stale[x.file] = was | x.stale
		return ok
	case x.name == "":
		_, ok := n.queued[x.node]
		n.queued[x.node] = struct{}{}
		return ok
	}
	return false
}

func (n *notifier) add(x notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.isQueued(x) {
		return
	}
	n.queue = append(n.queue, x)
	n.wake.Signal()
}

func (n *notifier) start() { n.wg.Go(n.run) }

func (n *notifier) stop() {
	close(n.quit)
	n.mu.Lock()
	n.closed = true
	n.queue = nil
	n.wake.Signal()
	n.mu.Unlock()
	n.wg.Wait()
}

func (n *notifier) run() {
	for {
		x, ok := n.next()
		if !ok {
			return
		}
		switch {
		case x.all:
			n.sendAll()
		case !x.file.IsZero():
			n.sendChanged(x.file, x.stale)
		default:
			n.put(x)
		}
		n.flush()
	}
}

// batch is about how much is sent at once.
const batch = 16 << 10

// put has a message sent with the next flush.
func (n *notifier) put(x notification) {
	n.out = append(n.out, x.message()...)
	if len(n.out) >= batch {
		n.flush()
	}
}

// flush sends what was put, by the keeper if that does it: see Options.Notify.
func (n *notifier) flush() {
	if len(n.out) == 0 {
		return
	}
	done, err := false, error(nil)
	if n.s.opts.Notify != nil {
		done, err = n.s.opts.Notify(n.out, n.quit)
	}
	if !done {
		err = WriteNotifications(n.s.fd, n.out)
	}
	if err != nil {
		n.s.log.Debug("notifications", "err", err)
	}
	n.out = n.out[:0]
}

// WriteNotifications writes messages to the kernel, one behind the other as
// Options.Notify gets them, to that descriptor of /dev/fuse. The kernel may wait for
// requests of the mount meanwhile. An error tells of the first message that the kernel
// did not like, if it was not that it does not know what is named; the others are
// written all the same.
func WriteNotifications(fd int, messages []byte) (err error) {
	for len(messages) > 0 {
		if len(messages) < outHeader {
			return errors.Join(err, unix.EINVAL)
		}
		// The head of a reply: its length, the code, and no request's number.
		n := int(binary.NativeEndian.Uint32(messages))
		code, unique := binary.NativeEndian.Uint32(messages[4:]), binary.NativeEndian.Uint64(messages[8:])
		if n < outHeader || n > len(messages) || unique != 0 {
			return errors.Join(err, unix.EINVAL)
		}
		if _, werr := unix.Write(fd, messages[:n]); werr != nil && werr != unix.ENOENT && werr != unix.ENOTDIR && err == nil {
			err = fmt.Errorf("notification %d: %w", code, werr)
		}
		messages = messages[n:]
	}
	return err
}

// sendChanged sends what follows from a change of a file by another client.
func (n *notifier) sendChanged(file xlator.GFID, what xlator.Stale) {
	node := n.s.bridge.t.Known(file)
	if node == nil {
		return
	}
	var names map[string]struct{}
	if what&xlator.StaleEntries != 0 {
		names = n.s.bridge.told.take(node.ID()) // what is told from now on is true
	}
	n.put(notification{node: node.ID(), attrs: what&(xlator.StaleData|xlator.StaleEntries) == 0})
	n.sendNames(node.ID(), names)
}

// sendNames takes back names of a directory.
func (n *notifier) sendNames(dir uint64, names map[string]struct{}) {
	for name := range names {
		n.put(notification{node: dir, name: name})
	}
}

// sendAll takes back everything.
func (n *notifier) sendAll() {
	n.s.bridge.told.inherited(func(dir uint64, name string) { n.put(notification{node: dir, name: name}) }, n.flush)
	for _, dir := range n.s.bridge.told.all() {
		n.sendNames(dir, n.s.bridge.told.take(dir))
		n.flush() // before the next is taken
	}
	n.s.bridge.t.EachKnown(func(nodeid uint64) { n.put(notification{node: nodeid}) })
}

func (n *notifier) next() (notification, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) == 0 {
		if n.closed {
			return notification{}, false
		}
		n.wake.Wait()
	}
	x := n.queue[0]
	n.queue = n.queue[1:]
	// What comes now is about a later change.
	switch {
	case x.all:
		n.all = false
	case !x.file.IsZero():
		x.stale = n.stale[x.file]
		delete(n.stale, x.file)
	case x.name == "":
		delete(n.queued, x.node)
	}
	return x, true
}

type (
	invalInodeMessage struct {
		head gofuse.OutHeader
		body gofuse.NotifyInvalInodeOut
	}
	invalEntryMessage struct {
		head gofuse.OutHeader
		body gofuse.NotifyInvalEntryOut
	}
)

// message is the notification as the kernel reads it: a reply to nothing, whose
// error is the code.
func (x notification) message() []byte {
	if x.name == "" {
		m := &invalInodeMessage{}
		m.head.Length, m.head.Status = uint32(unsafe.Sizeof(*m)), notifyInvalInode
		m.body.Ino = x.node // from byte 0 to the end
		if x.attrs {
			m.body.Off = -1
		}
		return unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m))
	}
	m := &invalEntryMessage{}
	m.head.Length, m.head.Status = uint32(unsafe.Sizeof(*m))+uint32(len(x.name))+1, notifyInvalEntry
	m.body.Parent, m.body.NameLen, m.body.Flags = x.node, uint32(len(x.name)), expireOnly
	b := make([]byte, 0, m.head.Length)
	b = append(b, unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m))...)
	return append(append(b, x.name...), 0)
}
