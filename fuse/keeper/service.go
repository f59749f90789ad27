package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ListenName is the name of the service's own socket at the service manager.
const ListenName = "holdfast-keeper"

// Service keeps mounts whose workers it does not start: they come from other
// containers, say, over a unix socket, and go on where the one before has ended.
type Service struct {
	// Constant after construction.
	log    *slog.Logger
	lis    *net.UnixListener
	notify *Notifier
	tend   Tend
	wg     sync.WaitGroup

	mu     sync.Mutex
	mounts map[string]*held   // guarded by mu; by id
	conns  map[*Conn]struct{} // guarded by mu; nil after the end
}

// NewService returns a Service that listens at path, with what an earlier
// process of it had given to the service manager. tend may be nil.
func NewService(path string, notify *Notifier, given map[string][]int, tend Tend, log *slog.Logger) (*Service, error) {
	s := &Service{log: log, notify: notify, tend: tend, mounts: map[string]*held{}, conns: map[*Conn]struct{}{}}
	lowerOOMScore()
	sockets := given[ListenName]
	delete(given, ListenName)
	found, rest := stores(given)
	closeAll(rest)
	var err error
	if len(sockets) > 0 {
		s.lis, err = inherited(sockets)
	} else {
		s.lis, err = listen(path)
	}
	if err != nil {
		return nil, fmt.Errorf("keeper service at %s: %w", path, err)
	}
	if len(sockets) == 0 {
		err = s.storeListener()
	}
	if err != nil {
		s.lis.Close()
		return nil, err
	}
	for id, store := range found {
		s.restore(id, store)
	}
	return s, nil
}

// inherited is the socket that the service manager has kept.
func inherited(fds []int) (*net.UnixListener, error) {
	defer closeAll(fds)
	f := os.NewFile(uintptr(fds[0]), "listen")
	fds[0] = -1
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("the descriptor from the service manager is not a unix socket")
	}
	return u, nil
}

// listen makes the socket, in place of one that nobody answers.
func listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	addr := &net.UnixAddr{Name: path, Net: "unixpacket"}
	lis, err := net.ListenUnix("unixpacket", addr)
	if errors.Is(err, unix.EADDRINUSE) {
		if c, derr := net.DialUnix("unixpacket", nil, addr); derr == nil {
			c.Close()
			return nil, errors.New("another one serves there")
		} else if !errors.Is(derr, unix.ECONNREFUSED) {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		lis, err = net.ListenUnix("unixpacket", addr)
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	return lis, err
}

func (s *Service) storeListener() error {
	if s.notify == nil {
		return nil
	}
	f, err := s.lis.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return s.notify.Store(ListenName, int(f.Fd()))
}

// restore takes up a mount that the service manager has kept.
func (s *Service) restore(id string, store *Store) {
	m, err := s.newHeld(store, Message{})
	if err != nil {
		s.log.Error("a mount from the service manager is of no use", "id", id, "err", err)
		for _, n := range store.names() {
			_ = s.notify.Remove(storedName(id, n))
		}
		store.Close()
		return
	}
	s.mounts[m.id] = m
	s.log.Info("a mount from the service manager", "id", m.id, "mountpoint", m.mountpoint)
	m.mu.Lock()
	m.orphan(nil) // its worker may live, and come
	m.mu.Unlock()
}

// Serve serves until ctx ends. The mounts stay, with their workers and whoever
// keeps their descriptors.
func (s *Service) Serve(ctx context.Context) error {
	if err := s.notify.Ready(fmt.Sprintf("%d mounts", len(s.list()))); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.lis.Close() })
	defer stop()
	for {
		u, err := s.lis.AcceptUnix()
		if err != nil && ctx.Err() == nil {
			s.log.Warn("accept", "err", err)
			select {
			case <-time.After(100 * time.Millisecond): // out of descriptors, say
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			break
		}
		c := newConn(u)
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.attend(c) })
	}
	s.end()
	return nil
}

func (s *Service) end() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	s.wg.Wait()
	s.mu.Lock()
	mounts := s.mounts
	s.mounts = nil
	s.mu.Unlock()
	for _, m := range mounts {
		m.close()
	}
}

// attend serves one connection: a worker's life.
func (s *Service) attend(c *Conn) {
	var m *held
	p := peerOf(c)
	defer func() {
		c.Close()
		s.mu.Lock()
		over := s.conns == nil
		delete(s.conns, c)
		s.mu.Unlock()
		if m != nil && !over {
			m.lost(c, p)
		} else {
			p.close()
		}
	}()
	for {
		msg, fds, err := c.Receive()
		if err != nil {
			return
		}
		switch {
		case msg.Kind == List:
			err = c.Send(Message{Kind: OK, Keeper: os.Getpid(), Mounts: s.list()})
		case msg.Kind == Attach && m == nil:
			m, err = s.attach(c, msg)
		case msg.Kind == Offer && m == nil:
			m, err = s.offer(c, msg, fds)
			fds = nil
		case m != nil:
			fds = m.message(c, msg, fds)
		default:
			err = errors.New("attach or offer comes first")
		}
		closeAll(fds)
		if err != nil {
			_ = c.Send(Message{Kind: Failed, Error: err.Error()})
		}
	}
}

// attach gives a mount to a worker; nil if there is no such mount.
func (s *Service) attach(c *Conn, msg Message) (*held, error) {
	m := s.find(msg)
	if m == nil {
		return nil, c.Send(Message{Kind: None})
	}
	if err := m.claim(c, msg); err != nil {
		return nil, err
	}
	if err := c.Send(Message{Kind: Start, Job: msg.Job, Keeper: os.Getpid(), Notifies: true, Restarted: true}); err != nil {
		return m, nil // its end follows
	}
	return m, nil
}

// find finds the mount that a worker wants.
func (s *Service) find(msg Message) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.mounts {
		if id != msg.ID && (msg.ID != "" || m.mountpoint != msg.Mountpoint) {
			continue
		}
		if m.connected() {
			return m
		}
	}
	return nil
}

// offer takes over what a worker has: a new mount, or one that it serves since
// before this process began.
func (s *Service) offer(c *Conn, msg Message, fds []int) (*held, error) {
	store := NewStore()
	store.PutAll(msg.Names, fds)
	n, err := s.newHeld(store, msg)
	if err != nil {
		store.Close()
		return nil, err
	}
	s.mu.Lock()
	old := s.mounts[n.id]
	s.mu.Unlock()
	if old != nil && old.connected() {
		if err := old.claim(c, Message{PID: msg.PID}); err != nil {
			n.close()
			return nil, err
		}
		old.take(n)
		n = old
	} else {
		n.worker, n.pid, n.state = c, msg.PID, served
		if old != nil {
			old.forget()
		}
		s.mu.Lock()
		s.mounts[n.id] = n
		s.mu.Unlock()
	}
	for _, name := range n.store.names() {
		n.stored(name)
	}
	s.log.Info("a mount is kept", "id", n.id, "mountpoint", n.mountpoint, "worker", n.pid)
	return n, c.Send(Message{Kind: OK, Keeper: os.Getpid(), Notifies: true})
}

func (s *Service) list() (all []MountInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.mounts {
		all = append(all, m.info())
	}
	slices.SortFunc(all, func(a, b MountInfo) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	return all
}

// newHeld reads what a mount is from its descriptors.
func (s *Service) newHeld(store *Store, msg Message) (*held, error) {
	mem, err := store.memory()
	if err != nil {
		return nil, err
	}
	dev, err := store.device(mem)
	if err == nil && !Connected(dev.FD) {
		err = errors.New("the mount is gone")
	}
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	var known struct {
		Mountpoint string `json:"mountpoint"`
	}
	if json.Unmarshal(mem.Config(), &known) == nil && msg.Mountpoint == "" {
		msg.Mountpoint = known.Mountpoint
	}
	return &held{
		s: s, id: strconv.Itoa(dev.Minor), mountpoint: msg.Mountpoint, store: store, mem: mem, dev: dev, deadline: deadline(msg.Limit),
		free: make(chan struct{}, 1),
	}, nil
}

func deadline(d time.Duration) time.Duration {
	if d <= 0 {
		return DefaultDeadline
	}
	return d
}
