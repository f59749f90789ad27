package glusterd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Op-versions of the features that a volfile may use. A daemon whose cluster needs
// more refuses to hand the volfile out.
const (
	minOpVersion = 1
	maxOpVersion = 100000 // GlusterFS 10
)

// volfileRoom is the longest reply with a volfile.
const volfileRoom = xdr.MaxVolfile + 64<<10

// Fetch asks for the volfile, of the daemon that is connected or else of each
// server once. Changes that Changed has told before are dealt with by it.
func (c *Client) Fetch(ctx context.Context) (text string, f Fetched, err error) {
	l, err := c.connected(ctx, nil)
	if err != nil {
		return "", f, err
	}
	text, f, err = c.fetch(ctx, l)
	if _, lost := errors.AsType[*rpc.LostError](err); lost {
		// It was lost before, which shows when it is used.
		if l, err = c.connected(ctx, l); err != nil {
			return "", f, err
		}
		text, f, err = c.fetch(ctx, l)
	}
	if err != nil {
		return "", f, err
	}
	c.mu.Lock()
	c.fetched = f
	c.mu.Unlock()
	return text, f, nil
}

// fetch asks over one connection, and leaves it.
func (c *Client) fetch(ctx context.Context, l *link) (text string, f Fetched, err error) {
	defer l.users.Done()
	select {
	case <-c.changed: // and this is the answer
	default:
	}
	f = Fetched{Server: l.server, At: time.Now()}
	req := &xdr.GetspecReq{
		Flags: xdr.GetspecServers, Key: c.cfg.Volume,
		Xdata: xdr.OldDict{xdr.OldInt("min-op-version", minOpVersion), xdr.OldInt("max-op-version", maxOpVersion)},
	}
	var rep xdr.GetspecRep
	if err := l.call(ctx, xdr.ProgramHandshake, xdr.ProgramHandshakeVer, xdr.HandshakeGetspec, volfileRoom, req, &rep); err != nil {
		return "", f, fmt.Errorf("fetch the volfile of %s from %s: %w", c.cfg.Volume, l.server, err)
	}
	if err := c.refusal(l, &rep); err != nil {
		return "", f, err
	}
	return strings.TrimRight(rep.Spec, "\x00"), f, nil
}

// refusal says why there is no volfile in a reply.
func (c *Client) refusal(l *link, rep *xdr.GetspecRep) error {
	if rep.Ret > 0 && rep.Spec != "" {
		return nil
	}
	errno := syscall.Errno(rep.Errno)
	switch {
	case rep.Ret >= 0:
		return fmt.Errorf("%s has an empty volfile of volume %s: %w", l.server, c.cfg.Volume, syscall.EIO)
	case errno == syscall.ENOENT:
		return fmt.Errorf("there is no volume %s at %s: %w", c.cfg.Volume, l.server, errno)
	case errno == syscall.EOPNOTSUPP:
		return fmt.Errorf("volume %s at %s uses features of a newer GlusterFS than 10 (op-version over %d): %w", c.cfg.Volume, l.server, maxOpVersion, errno)
	}
	return fmt.Errorf("%s does not give out the volfile of volume %s: %w", l.server, c.cfg.Volume, errno)
}

// Programs of the command line, of which a daemon serves a part to everybody.
const (
	programCLI    = 1238463
	programCLIVer = 2
	cliGetVolume  = 5
)

// Started asks whether the volume is started; known is false if the daemon does
// not say.
func (c *Client) Started(ctx context.Context) (started, known bool) {
	l, err := c.connected(ctx, nil)
	if err != nil {
		return false, false
	}
	defer l.users.Done()
	// The request and the reply are laid out as those of GET_VOLUME_INFO.
	req := &xdr.GetVolumeInfoReq{Dict: xdr.OldDict{xdr.OldText("flags", "2"), xdr.OldText("volname", c.cfg.Volume)}}
	var rep xdr.GetVolumeInfoRep
	if err := l.call(ctx, programCLI, programCLIVer, cliGetVolume, volfileRoom, req, &rep); err != nil || rep.Ret < 0 {
		return false, false
	}
	status, ok := rep.Dict.Int("volume0.status")
	return status == statusStarted, ok
}

// statusStarted is how a daemon says that a volume is started; 0 is made, 2
// stopped.
const statusStarted = 1
