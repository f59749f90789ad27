package fuse

import (
	"sync"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Codes of notifications, as in the kernel's uapi/linux/fuse.h.
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
)

// notifier sends notifications, one after the other, in a goroutine of its own.
// In the kernel they take the directory's lock, or wait for pages that are
// being read or written: sent by a handler, one may wait for its own request.
type notifier struct {
	s *Session // constant after construction

	wg sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond          // on mu
	queue  []notification      // guarded by mu
	queued map[uint64]struct{} // guarded by mu; nodeids in the queue, whole inodes
	closed bool                // guarded by mu
}

type notification struct {
	node uint64
	name string // of an entry; "": the inode
}

func newNotifier(s *Session) *notifier {
	n := &notifier{s: s, queued: map[uint64]struct{}{}}
	n.wake = sync.NewCond(&n.mu)
	return n
}

// Invalidate asks the kernel to forget the attributes and cached pages of a
// node. It returns at once; the kernel is told soon after, from another
// goroutine. A node the kernel does not know does no harm.
func (s *Session) Invalidate(nodeid uint64) { s.notifier.add(notification{node: nodeid}) }

// InvalidateEntry asks the kernel to look a name up again. It returns at once.
func (s *Session) InvalidateEntry(parent uint64, name string) {
	if name != "" {
		s.notifier.add(notification{node: parent, name: name})
	}
}

func (n *notifier) add(x notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if x.name == "" {
		if _, ok := n.queued[x.node]; ok {
			return
		}
		n.queued[x.node] = struct{}{}
	}
	n.queue = append(n.queue, x)
	n.wake.Signal()
}

func (n *notifier) start() { n.wg.Go(n.run) }

func (n *notifier) stop() {
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
		if _, err := unix.Write(n.s.fd, x.message()); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			n.s.log.Debug("notification", "node", x.node, "err", err)
		}
	}
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
	if x.name == "" {
		delete(n.queued, x.node) // what comes now is about a later change
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
		return unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m))
	}
	m := &invalEntryMessage{}
	m.head.Length, m.head.Status = uint32(unsafe.Sizeof(*m))+uint32(len(x.name))+1, notifyInvalEntry
	m.body.Parent, m.body.NameLen = x.node, uint32(len(x.name))
	b := make([]byte, 0, m.head.Length)
	b = append(b, unsafe.Slice((*byte)(unsafe.Pointer(m)), unsafe.Sizeof(*m))...)
	return append(append(b, x.name...), 0)
}
