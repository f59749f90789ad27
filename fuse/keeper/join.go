package keeper

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// Join asks the service at path for a mount. found says that it has it: then the
// Link waits to be Prepared, as one that was inherited. Otherwise the mount is
// to be made, put into the Store and Offered. want has what is known of it:
// Mountpoint, ID if it is mounted, Job, Program, Layouts, Replace, Limit.
func Join(ctx context.Context, path string, want Message) (l *Link, found bool, err error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, false, fmt.Errorf("keeper service at %s: %w", path, err)
	}
	want.Kind, want.PID = Attach, os.Getpid()
	m := Message{}
	if err = conn.Send(want); err == nil {
		// It may have to wait for the worker that lives.
		m, _, err = conn.expect(drainLimit+2*answerLimit, Start, None)
	}
	if err != nil {
		conn.Close()
		return nil, false, fmt.Errorf("keeper service at %s: %w", path, err)
	}
	l = newLink(want)
	l.service = path
	if m.Kind == None {
		l.pending = conn
		return l, false, nil
	}
	l.at = newAttachment(conn, m)
	return l, true, nil
}

func dial(ctx context.Context, path string) (*Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	return newConn(c.(*net.UnixConn)), nil
}

// Offer gives the new mount, which is in the Store, to the service.
func (l *Link) Offer() error {
	conn := l.pending
	l.pending = nil
	return l.offerTo(conn)
}

// How often a service is looked for that is gone.
const (
	firstRejoin = 20 * time.Millisecond
	mostRejoin  = 2 * time.Second
)

// rejoin looks for the service until it is there again, and gives it everything.
func (l *Link) rejoin() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.wg.Go(func() {
		select {
		case <-l.quit:
			cancel()
		case <-ctx.Done():
		}
	})
	for wait := firstRejoin; ; wait = min(2*wait, mostRejoin) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		conn, err := dial(ctx, l.service)
		if err == nil && l.Adopt(conn) == nil {
			return
		}
	}
}

// Mounts asks the service at path for what it keeps.
func Mounts(ctx context.Context, path string) ([]MountInfo, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("keeper service at %s: %w", path, err)
	}
	defer conn.Close()
	if err := conn.Send(Message{Kind: List}); err != nil {
		return nil, err
	}
	m, _, err := conn.expect(answerLimit, OK)
	if err != nil {
		return nil, fmt.Errorf("keeper service at %s: %w", path, err)
	}
	return m.Mounts, nil
}
