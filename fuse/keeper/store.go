package keeper

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Names of the descriptors of a mount. What translators keep has the prefix.
const (
	DeviceFD  = "device"  // /dev/fuse
	StateFD   = "state"   // the state memory
	ControlFD = "control" // the listening control socket
	keptFD    = "kept/"
)

// Store is descriptors by name. All of them are its own, and closed on exec.
type Store struct {
	mu  sync.Mutex
	fds map[string]int // guarded by mu
}

// NewStore returns an empty one.
func NewStore() *Store { return &Store{fds: map[string]int{}} }

// Put stores fd, which is the Store's from then on, in place of what was there.
func (s *Store) Put(name string, fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.fds[name]; ok && old != fd {
		_ = unix.Close(old)
	}
	s.fds[name] = fd
}

// PutAll stores what came with a message.
func (s *Store) PutAll(names []string, fds []int) {
	for i, n := range names {
		s.Put(n, fds[i])
	}
}

// PutCopy stores a duplicate of fd.
func (s *Store) PutCopy(name string, fd int) error {
	c, err := dup(fd)
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	s.Put(name, c)
	return nil
}

// Get returns the Store's own descriptor; ok is false if there is none.
func (s *Store) Get(name string) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, ok = s.fds[name]
	return fd, ok
}

// Copy returns a duplicate for the caller.
func (s *Store) Copy(name string) (fd int, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd, ok = s.fds[name]; !ok {
		return 0, false, nil
	}
	if fd, err = dup(fd); err != nil {
		return 0, false, fmt.Errorf("duplicate %s: %w", name, err)
	}
	return fd, true, nil
}

// Drop closes one.
func (s *Store) Drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd, ok := s.fds[name]; ok {
		_ = unix.Close(fd)
		delete(s.fds, name)
	}
}

// SendAll sends m with everything that is stored.
func (s *Store) SendAll(c *Conn, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock() // none is closed meanwhile
	fds := make([]int, 0, len(s.fds))
	for n := range s.fds {
		m.Names = append(m.Names, n)
	}
	slices.Sort(m.Names)
	for _, n := range m.Names {
		fds = append(fds, s.fds[n])
	}
	return c.Send(m, fds...)
}

// names lists what is stored.
func (s *Store) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.fds {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Close closes them all.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, fd := range s.fds {
		_ = unix.Close(fd)
		delete(s.fds, n)
	}
}

func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// Connected reports whether a descriptor of /dev/fuse still leads to a mount.
// Nothing is read from it.
func Connected(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	for {
		_, err := unix.Poll(p, 0)
		if err != unix.EINTR {
			return err == nil && p[0].Revents&(unix.POLLERR|unix.POLLNVAL) == 0
		}
	}
}
