package keeper

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// News is what a worker is told.
type News uint8

// News.
const (
	DrainNow  News = iota // finish what you have, and end
	KeeperOff             // the keeper is gone
	KeeperOn              // there is a new one
)

// Link is a worker's connection to its keeper, with its own copies of all that
// the keeper has: they outlive the keeper with it. It implements
// xlator.Descriptors.
type Link struct {
	// Constant after construction.
	store   *Store
	offer   Message // what this process serves, for another keeper
	service string  // address of the keeper, if it is one for many mounts
	pending *Conn   // to it, before there is a mount
	news    chan News
	quit    chan struct{} // closed by Close
	wg      sync.WaitGroup

	askMu sync.Mutex // held by who waits for an answer

	notified uint64 // last serial of Notify, which is called by one goroutine

	wantMu sync.Mutex
	wanted map[string]bool // guarded by wantMu; names that this process has kept or asked for

	mu sync.Mutex
	at *attachment // guarded by mu; nil: the keeper is gone
}

// attachment is one keeper.
type attachment struct {
	conn     *Conn
	pid      int
	notifies bool         // it knows Notify
	answers  chan answer  // closed when the keeper is gone
	notified chan Message // likewise
}

// newAttachment is the keeper that has sent m.
func newAttachment(conn *Conn, m Message) *attachment {
	return &attachment{conn: conn, pid: m.Keeper, notifies: m.Notifies}
}

type answer struct {
	msg Message
	fds []int
}

// errNoKeeper says that a keeper was lost before there was anything to lose.
var errNoKeeper = errors.New("the keeper is gone")

// Inherit returns the connection of a process that a keeper has started, and
// what it is to mount. program and layouts are what the process is.
func Inherit(program string, layouts []uint64) (*Link, Message, error) {
	n, err := strconv.Atoi(os.Getenv(LinkEnv))
	if err != nil {
		return nil, Message{}, fmt.Errorf("a worker is started by a keeper (%s=%q)", LinkEnv, os.Getenv(LinkEnv))
	}
	_ = os.Unsetenv(LinkEnv)
	unix.CloseOnExec(n)
	conn, err := NewConn(n)
	if err != nil {
		return nil, Message{}, err
	}
	if err := conn.Send(Message{Kind: Hello, Program: program, Layouts: layouts, PID: os.Getpid()}); err != nil {
		conn.Close()
		return nil, Message{}, err
	}
	start, fds, err := conn.expect(0, Start)
	if err != nil {
		conn.Close()
		return nil, Message{}, err
	}
	closeAll(fds)
	raiseOOMScore(start.OOMScore)
	l := newLink(Message{Program: program, Layouts: layouts, Job: start.Job})
	l.at = newAttachment(conn, start)
	return l, start, nil
}

func newLink(offer Message) *Link {
	offer.Kind, offer.PID = Offer, os.Getpid()
	return &Link{store: NewStore(), offer: offer, news: make(chan News), quit: make(chan struct{}), wanted: map[string]bool{}}
}

// raiseOOMScore undoes what the keeper has done for itself.
func raiseOOMScore(to string) {
	if to != "" {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte(to), 0)
	}
}

// Prepared says that this process has done what it can do beside another worker,
// and waits until it is the only one. Its Store has the descriptors then.
func (l *Link) Prepared() error {
	if err := l.at.conn.Send(Message{Kind: Prepared}); err != nil {
		return err
	}
	m, fds, err := l.at.conn.expect(0, Go)
	if err != nil {
		return err
	}
	l.store.PutAll(m.Names, fds)
	l.listen(l.at)
	return nil
}

// listen serves a keeper until it is gone.
func (l *Link) listen(at *attachment) {
	at.answers, at.notified = make(chan answer, 1), make(chan Message, 1)
	l.wg.Go(func() { // Close ends it
		defer close(at.answers)
		defer close(at.notified)
		for {
			m, fds, err := at.conn.Receive()
			if err != nil {
				l.lose(at)
				return
			}
			switch m.Kind {
			case OK, Failed, Mounted:
				select {
				case at.answers <- answer{m, fds}:
				default: // nobody has asked
					closeAll(fds)
				}
			case Notified:
				closeAll(fds)
				select {
				case <-at.notified: // nobody waited for it
				default:
				}
				at.notified <- m
			case Drain:
				closeAll(fds)
				l.tell(DrainNow)
			default:
				closeAll(fds)
			}
		}
	})
}

func (l *Link) tell(n News) {
	select {
	case l.news <- n:
	case <-l.quit:
	}
}

func (l *Link) lose(at *attachment) {
	l.mu.Lock()
	lost := l.at == at
	if lost {
		l.at = nil
	}
	l.mu.Unlock()
	if lost {
		at.conn.Close()
		l.tell(KeeperOff)
		if l.service != "" {
			l.wg.Go(l.rejoin)
		}
	}
}

// News is where the worker hears of it; somebody has to listen until Close.
func (l *Link) News() <-chan News { return l.news }

// Store has the descriptors of the mount.
func (l *Link) Store() *Store { return l.store }

// Keeper is the keeper's process, 0 if it is gone, and its address if it is a
// service.
func (l *Link) Keeper() (pid int, service string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at != nil {
		pid = l.at.pid
	}
	return pid, l.service
}

func (l *Link) attached() *attachment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// say sends what is not answered. Without a keeper nobody needs to know.
func (l *Link) say(m Message, fds ...int) error {
	at := l.attached()
	if at == nil {
		return errNoKeeper
	}
	return at.conn.Send(m, fds...)
}

// ask sends a request and waits for its answer. Without a keeper it is
// errNoKeeper.
func (l *Link) ask(m Message, fds ...int) (answer, error) {
	l.askMu.Lock()
	defer l.askMu.Unlock()
	at := l.attached()
	if at == nil {
		return answer{}, errNoKeeper
	}
	select {
	case <-at.answers: // of a request that was given up
	default:
	}
	if err := at.conn.Send(m, fds...); err != nil {
		return answer{}, errNoKeeper
	}
	a, ok := <-at.answers
	switch {
	case !ok:
		return answer{}, errNoKeeper
	case a.msg.Kind == Failed:
		closeAll(a.fds)
		return answer{}, errors.New(a.msg.Error)
	}
	return a, nil
}

// Mount asks for the mount to be made; the Store has its descriptors then.
func (l *Link) Mount() error {
	a, err := l.ask(Message{Kind: Mount})
	if err != nil {
		return err
	}
	l.store.PutAll(a.msg.Names, a.fds)
	return nil
}

// Renew asks for another state memory in place of one that is of no use; what
// was in it is lost. The Store has it then.
func (l *Link) Renew() error {
	a, err := l.ask(Message{Kind: Renew})
	if err != nil {
		return err
	}
	l.store.PutAll(a.msg.Names, a.fds)
	return nil
}

// Ready says that the mount is served, and what it does not promise.
func (l *Link) Ready(missing []string) { _ = l.say(Message{Kind: Ready, Missing: missing}) }

// Drained says that this process ends now, and has left nothing half done.
func (l *Link) Drained() { _ = l.say(Message{Kind: Drained}) }

// End says that the mount is gone (nil), or why this process cannot serve it.
func (l *Link) End(err error) {
	m := Message{Kind: End}
	if err != nil {
		m.Error = err.Error()
	}
	_ = l.say(m)
}

// Reopen says that the log has been moved away.
func (l *Link) Reopen() { _ = l.say(Message{Kind: Reopen}) }

// Upgrade passes on that somebody asks for another program. The keeper answers
// him; both descriptors stay the caller's.
func (l *Link) Upgrade(client, program int, limit time.Duration) error {
	err := l.say(Message{Kind: Upgrade, Names: []string{"client", "program"}, Limit: limit}, client, program)
	if errors.Is(err, errNoKeeper) {
		return errors.New("the mount has lost its keeper; `holdfast mount --adopt` gives it a new one")
	}
	return err
}

// Keep implements xlator.Descriptors.
func (l *Link) Keep(name string, fd int) error {
	l.want(name)
	if err := l.store.PutCopy(keptFD+name, fd); err != nil {
		return err
	}
	return lonely(l.ask(Message{Kind: Keep, Name: name, Names: []string{"kept"}}, fd))
}

// Kept implements xlator.Descriptors.
func (l *Link) Kept(name string) (fd int, ok bool, err error) {
	l.want(name)
	return l.store.Copy(keptFD + name)
}

// want notes that the name is somebody's: DropForgotten leaves it alone.
func (l *Link) want(name string) {
	l.wantMu.Lock()
	defer l.wantMu.Unlock()
	l.wanted[name] = true
}

// DropForgotten drops what earlier processes of the mount have kept and nobody
// in this one has asked for, and returns the names.
func (l *Link) DropForgotten() (dropped []string, err error) {
	for _, n := range l.store.names() {
		name, kept := strings.CutPrefix(n, keptFD)
		if !kept {
			continue
		}
		forgotten, derr := l.dropUnlessWanted(name)
		if err = errors.Join(err, derr); forgotten {
			dropped = append(dropped, name)
		}
	}
	return dropped, err
}

// dropUnlessWanted has who comes to keep that name wait until the keeper has
// dropped the old one.
func (l *Link) dropUnlessWanted(name string) (dropped bool, err error) {
	l.wantMu.Lock()
	defer l.wantMu.Unlock()
	if l.wanted[name] {
		return false, nil
	}
	return true, l.Drop(name)
}

// Drop implements xlator.Descriptors.
func (l *Link) Drop(name string) error {
	l.store.Drop(keptFD + name)
	return lonely(l.ask(Message{Kind: Drop, Name: name}))
}

// lonely is the error of a request that does not matter without a keeper: the
// next one gets everything from here.
func lonely(_ answer, err error) error {
	if errors.Is(err, errNoKeeper) {
		return nil
	}
	return err
}

// Close ends the connection, and lets go of the descriptors.
func (l *Link) Close() {
	close(l.quit)
	if l.pending != nil {
		l.pending.Close()
	}
	if at := l.attached(); at != nil {
		at.conn.Close()
	}
	l.wg.Wait()
	l.store.Close()
}
