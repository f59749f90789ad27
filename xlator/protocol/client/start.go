package client

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator"
)

// Start joins the brick's session, or begins it, and waits until it is up. The
// first graph of a mount does not wait long for a brick that does not run; a
// later one does, because applications wait for it already.
func (c *Client) Start(ctx context.Context) error {
	err := c.start(ctx)
	if err != nil {
		c.Stop()
		return fmt.Errorf("translator %s: %w", c.env.Volume, err)
	}
	return nil
}

func (c *Client) start(ctx context.Context) error {
	s, release, err := xlator.Share(c.env.Pool, c.Identity(), func() (*session, error) {
		return newSession(c.key, c.settings.Load(), c.env)
	})
	if err != nil {
		return err
	}
	c.s, c.release = s, release
	s.join(c)
	b, leave, err := xlator.Share(c.env.Pool, siblingsName, newSiblings)
	if err != nil {
		return err
	}
	b.add(s)
	c.release = func() error { return errors.Join(release(), leave()) }
	if err := s.await(ctx, c.env.Generation > 1 || s.inherits()); err != nil {
		return err
	}
	s.tell()
	if v := s.volumeID(); c.want != uuid.Nil && c.want != v {
		return fmt.Errorf("brick %s belongs to volume %s, not to %s: %w", c.key.brick(), v, c.want, syscall.EINVAL)
	}
	return nil
}

// Stop lets go of the session; it goes on while another graph uses it.
func (c *Client) Stop() {
	if c.release == nil {
		return
	}
	c.s.quit(c)
	if err := c.release(); err != nil && !errors.Is(err, context.Canceled) {
		c.log.Warn("end the session", "brick", c.key.brick(), "err", err)
	}
	c.release = nil
}

// Dump implements xlator.Dumper.
func (c *Client) Dump() any {
	if c.s == nil {
		return Dump{Brick: c.key.brick(), State: "not started"}
	}
	return c.s.dump()
}
