package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
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
// ctx bounds the whole.
func (c *Client) Ask(ctx context.Context, r Request, body any) error {
	err := c.ask(ctx, r, body)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: no answer from its process in time (%s)", c.mount.Mountpoint, r.Op)
	}
	return err
}

func (c *Client) ask(ctx context.Context, r Request, body any) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socketPath(c.dir, c.mount.Minor))
	if err != nil {
		return c.explain(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("%s: ask its process: %w", c.mount.Mountpoint, err)
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
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

func (c *Client) explain(err error) error {
	switch {
	case os.Getuid() != 0 && (errors.Is(err, fs.ErrPermission)):
		return fmt.Errorf("%s: only root may talk to its process", c.mount.Mountpoint)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: its process is gone; unmount it with `umount -l %[1]s`", c.mount.Mountpoint)
	}
	return fmt.Errorf("%s: reach its process: %w", c.mount.Mountpoint, err)
}
