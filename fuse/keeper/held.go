package keeper

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

// How a mount of a service stands.
const (
	served  = "serving"
	waiting = "waiting" // for a worker
	failed  = "failed"  // for too long: everything is answered with EIO
)

// dyingLimit is how long a process may take to die that is still the mount's
// worker when the next one comes.
const dyingLimit = 2 * time.Second

// goneStep is how often a mount without a worker is looked at.
const goneStep = 500 * time.Millisecond

// held is one mount of a service.
type held struct {
	// Constant after construction.
	s          *Service
	id         string
	mountpoint string
	free       chan struct{} // has an element when the worker is gone and somebody waits for that

	mu       sync.Mutex
	store    *Store        // guarded by mu
	mem      *state.Memory // guarded by mu; nil after the end
	dev      *fuse.Device  // guarded by mu; nil after the end
	deadline time.Duration // guarded by mu
	state    string        // guarded by mu
	worker   *Conn         // guarded by mu
	pid      int           // guarded by mu; the worker's, as it says
	ended    bool          // guarded by mu; it said that the mount is gone
	drained  bool          // guarded by mu
	quit     chan struct{} // guarded by mu; ends the watch over a mount without a worker
	watch    sync.WaitGroup
}

func (m *held) info() MountInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MountInfo{ID: m.id, Mountpoint: m.mountpoint, State: m.state, Worker: m.pid}
}

func (m *held) connected() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive()
}

// alive reports whether the mount exists. Called with mu held.
func (m *held) alive() bool { return m.dev != nil && Connected(m.dev.FD) }

// claim makes c the mount's worker. One that lives is asked to hand over if the
// new one says so.
func (m *held) claim(c *Conn, msg Message) error {
	if msg.Kind == Attach && !slices.Contains(msg.Layouts, state.Version) {
		return fmt.Errorf("%s: its state memory has the layout %d, this program knows %d", m.mountpoint, state.Version, msg.Layouts)
	}
	end := time.Now().Add(dyingLimit)
	if msg.Replace {
		end = time.Now().Add(drainLimit + answerLimit)
	}
	for {
		m.mu.Lock()
		if m.worker == nil {
			m.worker, m.pid, m.ended, m.drained = c, msg.PID, false, false // the place is taken
			if msg.Limit > 0 {
				m.deadline = msg.Limit
			}
			m.unwatch()
			m.state = served
			alive := m.alive()
			m.mu.Unlock()
			if !alive {
				return fmt.Errorf("%s: the mount is gone", m.mountpoint)
			}
			return nil
		}
		old, pid := m.worker, m.pid
		m.mu.Unlock()
		if msg.Replace {
			_ = old.Send(Message{Kind: Drain})
		}
		select {
		case <-m.free:
		case <-time.After(time.Until(end)):
			if !msg.Replace {
				return fmt.Errorf("%s: process %d serves it; --replace takes its place", m.mountpoint, pid)
			}
			return fmt.Errorf("%s: process %d does not end; kill it, and try again", m.mountpoint, pid)
		}
	}
}

// message is one from the mount's worker.
func (m *held) message(c *Conn, msg Message, fds []int) (rest []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mem == nil {
		return fds
	}
	switch msg.Kind {
	case Prepared:
		_ = m.store.SendAll(c, Message{Kind: Go})
	case Renew:
		var err error
		if m.mem, err = m.store.renew(m.mem, m.dev); err != nil {
			_ = c.Send(Message{Kind: Failed, Error: err.Error()})
			break
		}
		m.s.log.Error("the state memory was damaged: what was open is lost", "mountpoint", m.mountpoint)
		m.stored(StateFD)
		_ = m.store.SendAll(c, Message{Kind: Mounted})
	case Ready:
		m.s.log.Info("a worker serves", "mountpoint", m.mountpoint, "worker", m.pid, "generation", m.mem.Worker())
	case Keep:
		if len(fds) != 1 {
			_ = c.Send(Message{Kind: Failed, Error: "keep: not one descriptor"})
			return fds
		}
		m.store.Put(keptFD+msg.Name, fds[0])
		m.stored(keptFD + msg.Name)
		_ = c.Send(Message{Kind: OK})
		return nil
	case Drop:
		m.store.Drop(keptFD + msg.Name)
		_ = m.s.notify.Remove(storedName(m.id, keptFD+msg.Name))
		_ = c.Send(Message{Kind: OK})
	case Notify:
		notify(c, m.dev, msg)
	case Drained:
		m.drained = true
	case End:
		m.ended = msg.Error == ""
		if msg.Error != "" {
			m.s.log.Error("a worker cannot serve", "mountpoint", m.mountpoint, "err", msg.Error)
		}
	}
	return fds
}

// stored gives a descriptor to the service manager.
func (m *held) stored(name string) {
	if fd, ok := m.store.Get(name); ok {
		if err := m.s.notify.Store(storedName(m.id, name), fd); err != nil {
			m.s.log.Warn("the service manager does not keep a descriptor", "mountpoint", m.mountpoint, "name", name, "err", err)
		}
	}
}

// lost is the end of the worker, p, or of its connection.
func (m *held) lost(c *Conn, p *peer) {
	m.mu.Lock()
	if m.worker != c {
		m.mu.Unlock()
		p.close()
		return
	}
	pid := m.pid
	m.worker, m.pid = nil, 0
	gone := m.ended || !m.alive()
	if !gone {
		if !m.drained {
			m.mem.CountDeath()
			m.s.log.Warn("the worker is gone", "mountpoint", m.mountpoint, "worker", pid, "deaths", m.mem.Deaths())
		}
		m.mem.SetDeath(m.blame())
		m.orphan(p)
	}
	m.mu.Unlock()
	if gone {
		p.close()
		m.forget()
	}
	select {
	case m.free <- struct{}{}:
	default:
	}
}

// blame is what the death says about the requests that the worker has left: how
// it died is not ours to know. Called with mu held.
func (m *held) blame() state.Death {
	if m.drained {
		return state.Blameless
	}
	return state.Unseen
}

// orphan waits for a worker, within the deadline, and for the end of the mount. It
// closes p, who was the worker: what that has kept is looked after when it is gone,
// and not before. Called with mu held.
func (m *held) orphan(p *peer) {
	m.state = waiting
	quit := make(chan struct{})
	m.quit = quit
	late := time.Now().Add(m.deadline)
	dev, mem, store := m.dev, m.mem, m.store
	m.watch.Go(func() {
		t := startTending(m.s.tend, store, tendAfter, p.gone, m.s.log.With("mountpoint", m.mountpoint))
		gone := m.outlast(late, dev, mem, quit)
		t.stop()
		p.close()
		if gone {
			m.found(quit)
		}
	})
}

// outlast waits until quit, or until the mount is gone. After the deadline
// everything is answered with EIO.
func (m *held) outlast(late time.Time, dev *fuse.Device, mem *state.Memory, quit <-chan struct{}) (gone bool) {
	for time.Now().Before(late) {
		select {
		case <-quit:
			return false
		case <-time.After(min(goneStep, time.Until(late))):
		}
		if !Connected(dev.FD) {
			return true
		}
	}
	m.s.log.Error("no worker in time: everything is answered with EIO", "mountpoint", m.mountpoint, "deadline", m.deadline)
	m.mu.Lock()
	if m.quit == quit {
		m.state = failed
	}
	m.mu.Unlock()
	return answerEIO(dev, mem, quit, m.s.log)
}

// found is what the watch does when the mount is gone.
func (m *held) found(quit chan struct{}) {
	m.mu.Lock()
	mine := m.quit == quit // else somebody waits for the watch
	if mine {
		m.quit = nil
	}
	m.mu.Unlock()
	if mine {
		m.forget()
	}
}

// unwatch ends that. Called with mu held, which it gives up meanwhile.
func (m *held) unwatch() {
	if m.quit == nil {
		return
	}
	close(m.quit)
	m.quit = nil
	m.mu.Unlock()
	m.watch.Wait()
	m.mu.Lock()
}

// take takes over what the worker has given again; n is of no use then.
func (m *held) take(n *held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, mem := m.store, m.mem
	m.store, m.mem, m.dev = n.store, n.mem, n.dev
	old.Close()
	if err := mem.Close(); err != nil {
		m.s.log.Warn("state memory", "err", err)
	}
}

// forget lets go of a mount that is gone.
func (m *held) forget() {
	m.s.mu.Lock()
	known := m.s.mounts[m.id] == m // else the number is another's by now
	if known {
		delete(m.s.mounts, m.id)
	}
	m.s.mu.Unlock()
	if known {
		m.mu.Lock()
		names := m.store.names()
		m.mu.Unlock()
		for _, n := range names {
			_ = m.s.notify.Remove(storedName(m.id, n))
		}
		m.s.log.Info("a mount is gone", "id", m.id, "mountpoint", m.mountpoint)
	}
	m.close()
}

// close lets go of the descriptors.
func (m *held) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unwatch()
	m.store.Close()
	m.dev = nil
	if m.mem != nil {
		if err := m.mem.Close(); err != nil {
			m.s.log.Warn("state memory", "err", err)
		}
		m.mem = nil
	}
}
