package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client asks one mount's process.
type Client struct {
	dir   string
	mount Mount
}

// Open finds the mount at path. It does not talk to it yet.
func Open(path string) (*Client, error) {
	m, err := FindMount(path)
	if err != nil {
		return nil, err
	}
	return &Client{dir: Dir, mount: m}, nil
}

// Mount is what was found.
func (c *Client) Mount() Mount { return c.mount }

// Ask sends r and decodes the body of the answer into body, which may be nil.
// ctx bounds the whole. When the process dies over it, the next one is asked,
// unless that could do something twice.
func (c *Client) Ask(ctx context.Context, r Request, body any) error {
	if s, err := readState(statePath(c.dir, c.mount.Minor)); err == nil && s.Service != "" && !s.Alive() {
		return s.waiting()
	}
	once := r.Op == OpUpgrade || r.Op == OpAdopt
	for {
		err := c.ask(ctx, &r, body)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return c.late(r.Op)
		case once || !errors.Is(err, errDied):
			return err
		}
		// The next process finds us in the socket's queue; a short breath for
		// one that hangs up on everybody.
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// late is the error for a request that was not answered in time.
func (c *Client) late(op string) error {
	s, err := readState(statePath(c.dir, c.mount.Minor))
	switch {
	case err == nil && s.Service != "" && !s.Alive():
		return s.waiting()
	case err == nil && s.Worker.PID != 0 && s.Process.Alive() && !s.Worker.Alive():
		return fmt.Errorf("%s: no worker serves it; its keeper, process %d, is starting another (%s): see %s", c.mount.Mountpoint, s.PID, op, s.LogFile)
	}
	return fmt.Errorf("%s: no answer from its process in time (%s)", c.mount.Mountpoint, op)
}

// errDied says that a process took the request, and then there was none.
var errDied = errors.New("it ended meanwhile")

func (c *Client) ask(ctx context.Context, r *Request, body any) error {
	dialed, err := (&net.Dialer{}).DialContext(ctx, "unix", socketPath(c.dir, c.mount.Minor))
	if err != nil {
		return c.explain(err)
	}
	conn := dialed.(*net.UnixConn)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var oob []byte
	if len(r.FDs) > 0 {
		oob = unix.UnixRights(r.FDs...)
	}
	line, err := converse(conn, append(b, '\n'), oob)
	if err != nil {
		return fmt.Errorf("%s: its process did not answer (%s): %w", c.mount.Mountpoint, r.Op, err)
	}
	var reply Reply
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("%s: answer of its process: %w", c.mount.Mountpoint, err)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	if body == nil {
		return nil
	}
	return json.Unmarshal(reply.Body, body)
}

// converse sends a request and reads the line of the answer.
func converse(conn *net.UnixConn, b, oob []byte) (line []byte, err error) {
	// With the first part of a long request go the descriptors.
	n, _, err := conn.WriteMsgUnix(b, oob, nil)
	if err == nil && n < len(b) {
		_, err = conn.Write(b[n:])
	}
	if err == nil {
		line, err = bufio.NewReader(conn).ReadBytes('\n')
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		err = errDied
	}
	return line, err
}

func (c *Client) explain(err error) error {
	switch {
	case os.Getuid() != 0 && (errors.Is(err, fs.ErrPermission)):
		return fmt.Errorf("%s: only root may talk to its process", c.mount.Mountpoint)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: its process is gone; unmount it with `umount -l %[1]s`", c.mount.Mountpoint)
	}
	return fmt.Errorf("%s: reach its process: %w", c.mount.Mountpoint, err)
}
