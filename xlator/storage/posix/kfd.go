package posix

import (
	"container/list"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// kfd is a counted kernel descriptor. Whoever got one from acquire puts it
// back; the last put closes.
type kfd struct {
	n    int
	real bool // opened for I/O, not O_PATH
	refs atomic.Int32
}

func newKFD(n int, real bool) *kfd {
	k := &kfd{n: n, real: real}
	k.refs.Store(1)
	return k
}

// ref takes another reference. The caller knows of one that cannot go away
// meanwhile.
func (k *kfd) ref() *kfd { k.refs.Add(1); return k }

func (k *kfd) put() {
	if k.refs.Add(-1) == 0 {
		unix.Close(k.n)
	}
}

func (k *kfd) getxattr(name string, buf []byte) (int, error) {
	if k.real {
		return unix.Fgetxattr(k.n, name, buf)
	}
	return unix.Getxattr(procPath(k.n), name, buf)
}

func (k *kfd) setxattr(name string, v []byte, flags int) error {
	if k.real {
		return unix.Fsetxattr(k.n, name, v, flags)
	}
	return unix.Setxattr(procPath(k.n), name, v, flags)
}

func (k *kfd) removexattr(name string) error {
	if k.real {
		return unix.Fremovexattr(k.n, name)
	}
	return unix.Removexattr(procPath(k.n), name)
}

func (k *kfd) listxattr(buf []byte) (int, error) {
	if k.real {
		return unix.Flistxattr(k.n, buf)
	}
	return unix.Listxattr(procPath(k.n), buf)
}

func (k *kfd) chmod(mode uint32) error {
	if k.real {
		return unix.Fchmod(k.n, mode)
	}
	return unix.Chmod(procPath(k.n), mode)
}

// truncate goes by path: a real descriptor may be open for reading only.
func (k *kfd) truncate(size int64) error {
	return again(func() error { return unix.Truncate(procPath(k.n), size) })
}

// sized calls f with a buffer until it is large enough.
func sized(f func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := f(buf)
		if err == nil {
			return buf[:n], nil
		}
		if err != unix.ERANGE || len(buf) >= 1<<20 {
			return nil, err
		}
		buf = make([]byte, len(buf)*8)
	}
}

// pathCache keeps O_PATH descriptors of objects in recent use, a bounded
// number of them.
type pathCache struct {
	limit int

	mu sync.Mutex
	l  list.List // of *object, most recent first; guarded by mu, as is object.path
}

// pathEntry is an object's place in the cache.
type pathEntry struct {
	el *list.Element
	k  *kfd
}

// get returns the object's cached descriptor, or nil.
func (c *pathCache) get(o *object) *kfd {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.path.el == nil {
		return nil
	}
	c.l.MoveToFront(o.path.el)
	return o.path.k.ref()
}

// add keeps k for the object and returns a reference to what is kept then: k,
// or the one of somebody who was faster.
func (c *pathCache) add(o *object, k *kfd) *kfd {
	c.mu.Lock()
	if o.path.el != nil {
		won := o.path.k.ref()
		c.mu.Unlock()
		k.put()
		return won
	}
	o.path = pathEntry{c.l.PushFront(o), k}
	k.ref()
	var victim *kfd
	if c.l.Len() > c.limit {
		victim = c.remove(c.l.Back().Value.(*object))
	}
	c.mu.Unlock()
	if victim != nil {
		victim.put()
	}
	return k
}

// remove takes the object out. The caller holds mu and puts what it gets.
func (c *pathCache) remove(o *object) *kfd {
	c.l.Remove(o.path.el)
	k := o.path.k
	o.path = pathEntry{}
	return k
}

// drop forgets the object's descriptor, so that a removed file's space is not
// held by it.
func (c *pathCache) drop(o *object) {
	c.mu.Lock()
	var k *kfd
	if o.path.el != nil {
		k = c.remove(o)
	}
	c.mu.Unlock()
	if k != nil {
		k.put()
	}
}

// flush forgets all: at the end, and when descriptors run short.
func (c *pathCache) flush() {
	c.mu.Lock()
	var ks []*kfd
	for c.l.Len() > 0 {
		ks = append(ks, c.remove(c.l.Back().Value.(*object)))
	}
	c.mu.Unlock()
	for _, k := range ks {
		k.put()
	}
}

func (c *pathCache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.l.Len()
}
