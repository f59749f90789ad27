package keeper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

// answerLimit bounds the wait for an answer that needs no work.
const answerLimit = 10 * time.Second

// Offered is a mount whose worker lives and has no keeper.
type Offered struct {
	Message // the worker's Offer
	store   *Store
	conn    *Conn
}

// Accept waits for a worker to offer its mount.
func Accept(conn *Conn) (*Offered, error) {
	m, fds, err := conn.expect(answerLimit, Offer)
	if err != nil {
		conn.Close()
		return nil, err
	}
	o := &Offered{Message: m, store: NewStore(), conn: conn}
	o.store.PutAll(m.Names, fds)
	return o, nil
}

// Close refuses it.
func (o *Offered) Close() {
	o.conn.Close()
	o.store.Close()
}

// memory maps the mount's state memory.
func (s *Store) memory() (*state.Memory, error) {
	fd, ok, err := s.Copy(StateFD)
	if err != nil || !ok {
		return nil, errors.Join(errors.New("no state memory"), err)
	}
	f := os.NewFile(uintptr(fd), "holdfast-state")
	mem, err := state.Open(f)
	if err != nil {
		f.Close()
	}
	return mem, err
}

// renew puts a new state memory in place of one that is damaged, with what the
// kernel and we have agreed on, and returns it. old is closed.
func (s *Store) renew(old *state.Memory, dev *fuse.Device) (*state.Memory, error) {
	mem, err := state.Create()
	if err != nil {
		return old, err
	}
	if err = mem.SetInit(state.Init{Connection: dev.Minor, In: dev.InitIn, Out: dev.InitOut}); err == nil {
		err = s.PutCopy(StateFD, int(mem.File().Fd()))
	}
	if err != nil {
		return old, errors.Join(err, mem.Close())
	}
	for range min(old.Worker(), maxCounted) { // as far as they are to be believed
		mem.NextWorker()
	}
	for range min(old.Deaths(), maxCounted) {
		mem.CountDeath()
	}
	return mem, old.Close()
}

const maxCounted = 1 << 20

// device is the kernel's end of the mount; the descriptor stays the Store's.
func (s *Store) device(mem *state.Memory) (*fuse.Device, error) {
	fd, ok := s.Get(DeviceFD)
	if !ok {
		return nil, errors.New("no /dev/fuse")
	}
	init, err := mem.Init()
	if err != nil {
		return nil, err
	}
	return &fuse.Device{FD: fd, Minor: init.Connection, InitIn: init.In, InitOut: init.Out}, nil
}

// Adopt returns a Keeper for a mount that has lost its own. Its worker is not a
// child of this process; the next ones are. cfg.Job and cfg.Program are the
// worker's.
func Adopt(cfg Config, o *Offered) (*Keeper, error) {
	mem, err := o.store.memory()
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Keeper, error) { return nil, errors.Join(err, mem.Close()) }
	dev, err := o.store.device(mem)
	if err != nil {
		return fail(err)
	}
	pidfd, err := unix.PidfdOpen(o.PID, 0)
	if err != nil {
		return fail(fmt.Errorf("worker %d: %w", o.PID, err))
	}
	if cfg.Program, err = OpenProgram(fmt.Sprintf("/proc/%d/exe", o.PID)); err != nil {
		return fail(errors.Join(err, unix.Close(pidfd)))
	}
	cfg.Program.Version, cfg.Job = o.Program, o.Job
	k := newKeeper(cfg, mem)
	k.store, k.dev, k.state = o.store, dev, State{Phase: Serving, Served: true}
	k.worker = &worker{pid: o.PID, pidfd: pidfd, conn: o.conn, program: k.program, readyAt: time.Now()}
	if err := o.conn.Send(Message{Kind: OK, Keeper: os.Getpid(), Notifies: true}); err != nil {
		k.worker.close()
		k.end()
		return nil, err
	}
	k.attend(k.worker)
	return k, nil
}

// Adopt offers the mount to a new keeper, and serves under it from then on. conn
// is the Link's, or is closed.
func (l *Link) Adopt(conn *Conn) error {
	err := l.offerTo(conn)
	if err == nil {
		l.wg.Go(func() { l.tell(KeeperOn) })
	}
	return err
}

func (l *Link) offerTo(conn *Conn) error {
	l.askMu.Lock() // nobody gives away a descriptor meanwhile that the new one does not get
	defer l.askMu.Unlock()
	l.mu.Lock()
	old := l.at
	l.mu.Unlock()
	var err error
	if old != nil {
		err = fmt.Errorf("it has one, process %d", old.pid)
	} else {
		err = l.store.SendAll(conn, l.offer)
	}
	var m Message
	if err == nil {
		m, _, err = conn.expect(answerLimit, OK)
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("give the mount a keeper: %w", err)
	}
	at := newAttachment(conn, m)
	l.mu.Lock()
	l.at = at
	l.mu.Unlock()
	l.listen(at)
	return nil
}
