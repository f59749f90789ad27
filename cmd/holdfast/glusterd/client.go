package glusterd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// DefaultPort is where a management daemon listens.
const DefaultPort = 24007

// Limits of a client.
const (
	// attemptLimit bounds one attempt to reach one server.
	attemptLimit = 10 * time.Second
	// silenceLimit is how long a daemon may be silent when it has been asked.
	silenceLimit = 20 * time.Second
	// heartbeat is how often a daemon is asked whether it is there.
	heartbeat = 30 * time.Second
	// firstPause is between the first two rounds of attempts; it doubles up to
	// longestPause.
	firstPause   = 100 * time.Millisecond
	longestPause = 3 * time.Second
)

// Config is what a client needs.
type Config struct {
	// Servers are tried in this order, the first that answers is used.
	Servers []string
	Port    int // 0: DefaultPort
	// Volume is the name of the volume.
	Volume string
	Log    *slog.Logger
}

// Client is a standing connection to a management daemon.
type Client struct {
	// Constant after construction.
	cfg     Config
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	changed chan struct{} // holds a token: something may have changed
	hurry   chan struct{} // holds a token: somebody waits for a connection

	mu sync.Mutex
	// Guarded by mu.
	link       *link         // nil: there is none
	begun, had uint64        // rounds of attempts that began, and that ended
	over       chan struct{} // closed at the end of the round in progress, or the next
	err        error         // why there is no connection
	since      time.Time     // of the connection, or of its loss
	fetched    Fetched
}

// Fetched says which volfile was fetched last.
type Fetched struct {
	Server string    `json:"server"` // HOST:PORT
	At     time.Time `json:"at"`
}

// Status is what there is to know of a client.
type Status struct {
	Servers []string `json:"servers"`
	// Server is the one that is connected, HOST:PORT; "" if none is.
	Server string `json:"server,omitempty"`
	// Since is when that began.
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // why none is
	// Fetched is the last volfile that came, of this process.
	Fetched *Fetched `json:"fetched,omitempty"`
}

// New begins to connect.
func New(cfg Config) *Client {
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	c := &Client{
		cfg: cfg, done: make(chan struct{}), changed: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		over: make(chan struct{}), err: errors.New("not connected yet"), since: time.Now(),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

// Close ends the connection and waits for everything.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}

// Changed has a token when the volfile may have changed since it was fetched
// last.
func (c *Client) Changed() <-chan struct{} { return c.changed }

func (c *Client) tell() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Status returns it.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Since: c.since}
	for _, h := range c.cfg.Servers {
		s.Servers = append(s.Servers, c.address(h))
	}
	if c.link != nil {
		s.Server = c.link.server
	} else {
		s.Error = c.err.Error()
	}
	if f := c.fetched; !f.At.IsZero() {
		s.Fetched = &f
	}
	return s
}

func (c *Client) address(host string) string {
	return net.JoinHostPort(host, strconv.Itoa(c.cfg.Port))
}

// run keeps a connection until Close.
func (c *Client) run() {
	defer close(c.done)
	pause := firstPause
	for c.ctx.Err() == nil {
		l, err := c.round()
		if err != nil {
			c.wait(pause)
			pause = min(2*pause, longestPause)
			continue
		}
		began := time.Now()
		c.keep(l)
		if time.Since(began) > longestPause {
			pause = firstPause // it was of use, and not one of those that hang up at once
		}
	}
}

// wait waits, or until somebody needs a connection.
func (c *Client) wait(pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-c.hurry:
	case <-c.ctx.Done():
	}
}

// round tries each server once.
func (c *Client) round() (l *link, err error) {
	c.mu.Lock()
	c.begun++
	c.mu.Unlock()
	for _, host := range c.cfg.Servers {
		var derr error
		if l, derr = c.dial(host); derr == nil {
			break
		}
		if err != nil {
			derr = fmt.Errorf("%w; %w", err, derr)
		}
		err = derr
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l == nil { // err is not nil: there is at least one server
		if c.ctx.Err() == nil && (c.had == 0 || c.err.Error() != err.Error()) {
			c.cfg.Log.Warn("management daemon away", "volume", c.cfg.Volume, "err", err)
		}
		c.err = err
	} else {
		c.link, c.since, err = l, time.Now(), nil
		c.cfg.Log.Info("management daemon connected", "volume", c.cfg.Volume, "server", l.server)
		// The volfile may have changed before the daemon could tell us.
		c.tell()
	}
	c.had = c.begun
	close(c.over)
	c.over = make(chan struct{})
	return l, err
}

// keep waits for the end of a connection.
func (c *Client) keep(l *link) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-l.conn.Lost():
		case <-c.ctx.Done():
		case <-beat.C:
			// A daemon that is asked and silent loses its connection.
			_ = l.ping(c.ctx)
			continue
		}
		break
	}
	cause := l.conn.Err()
	if cause == nil {
		cause = rpc.ErrClosed
	}
	c.mu.Lock()
	c.link, c.since = nil, time.Now()
	c.err = fmt.Errorf("%s: connection lost: %w", l.server, cause)
	c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.cfg.Log.Warn("management daemon lost; the mount goes on with the graph that it has", "volume", c.cfg.Volume, "server", l.server, "cause", cause)
	}
	l.close()
}

// connected returns a connection other than lost, to be left after use. Without
// one it waits for the end of a round of attempts that begins from now on.
func (c *Client) connected(ctx context.Context, lost *link) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	need := c.begun + 1
	if c.had == 0 {
		need = 1
	}
	for (c.link == nil || c.link == lost) && c.had < need {
		select {
		case c.hurry <- struct{}{}:
		default:
		}
		over := c.over
		c.mu.Unlock()
		var err error
		select {
		case <-over:
		case <-ctx.Done():
			err = fmt.Errorf("no management daemon was reached in time: %w", ctx.Err())
		case <-c.ctx.Done():
			err = errors.New("the mount ends")
		}
		c.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
	if c.link == nil { // lost is not it any more: a round has been since
		return nil, c.err
	}
	c.link.users.Add(1)
	return c.link, nil
}
