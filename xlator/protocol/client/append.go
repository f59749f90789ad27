package client

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// An append is the brick's: where it goes is decided there, so that appends of
// several clients do not meet. If its reply is lost, the file tells whether it was
// carried out: the bytes from the size on that the file had before. A brick that is
// killed in the middle leaves a part of them, up to the end of a page: what is
// missing is appended.

// appendSearch bounds what is read of what other clients have appended meanwhile.
const appendSearch = 1 << 20

// appending prepares an append: the file's size before it is recorded.
func (c *Client) appending(ctx context.Context, x *exchange, rep *xdr.AttrRep) error {
	g := x.fd.key.gfid
	before, again := intended(xlator.CallFrom(ctx), x.fop)
	size := before.Size
	if !again {
		if known := x.fd.file.end.Load(); known != nil {
			size = *known
		} else {
			now, err := c.fstat(xlator.Internal(), x.fd)
			if err != nil {
				return err
			}
			size = now.Size
		}
	}
	x.intent = xlator.Intent{A: g, Size: size}
	x.resolve = func() (bool, error) { return c.s.resolveAppend(x, size, x.payload, rep) }
	return nil
}

// resolveAppend finds out what has become of x, an append of data to a file of
// that size, and fills in rep if it is done.
func (s *session) resolveAppend(x *exchange, size uint64, data []byte, rep *xdr.AttrRep) (done bool, err error) {
	now, n, err := s.settledAppend(x.fd.key.gfid, size, data)
	switch {
	case err != nil:
		return false, err
	case n == 0:
		// What is there is not ours.
		x.resolve = func() (bool, error) { return s.resolveAppend(x, now.Size, data, rep) }
		return false, nil
	case n < len(data):
		if err := s.appendRest(x, size+uint64(n), data[n:], rep); err != nil {
			return false, err
		}
	default:
		*rep = xdr.AttrRep{Post: now}
	}
	s.counts.resolved.Add(1)
	rep.Ret = int32(len(x.payload))
	return true, nil
}

// appendSettles is for how long a part of an append must be all there is, before it
// is one that nobody is at any more: a brick goes on with what it was sent on a
// connection that is lost.
const appendSettles = time.Second

// settledAppend is appended, once that does not change.
func (s *session) settledAppend(g xlator.GFID, size uint64, data []byte) (now xdr.Iatt, n int, err error) {
	now, n, err = s.appended(g, size, data)
	for end := time.Now().Add(appendSettles); err == nil && 0 < n && n < len(data) && time.Now().Before(end); {
		select {
		case <-time.After(stalePoll):
		case <-s.ctx.Done():
			return now, 0, s.ctx.Err()
		}
		was := n
		if now, n, err = s.appended(g, size, data); n != was {
			end = time.Now().Add(appendSettles)
		}
	}
	return now, n, err
}

// appendRest appends what a brick has left out of x.
func (s *session) appendRest(x *exchange, size uint64, rest []byte, rep *xdr.AttrRep) error {
	req := *x.req.(*xdr.WriteReq)
	req.Size = uint32(len(rest))
	more := exchange{fop: x.fop, fd: x.fd, rep: rep, payload: rest, times: x.times, stamp: x.stamp, own: x.own, req: &req, intent: x.intent}
	more.resolve = func() (bool, error) { return s.resolveAppend(&more, size, rest, rep) }
	return s.do(xlator.Internal(), &more)
}

// page is where a write that is killed may end. Others' appends seldom do, so
// that what another client has appended is not taken for a part of ours.
const page = 4096

// appended looks how much of the data was appended to a file of that size.
func (s *session) appended(g xlator.GFID, size uint64, data []byte) (now xdr.Iatt, n int, err error) {
	if now, err = s.attr(g); err != nil {
		return now, 0, err
	}
	undecided := func(why string) error {
		return fmt.Errorf("an append of %d bytes, whose reply was lost, may or may not be in the file: %s: %w", len(data), why, syscall.EIO)
	}
	grown := now.Size - size
	switch {
	case now.Size < size:
		return now, 0, undecided("somebody has cut it meanwhile")
	case grown == 0, grown < uint64(len(data)) && now.Size%page != 0:
		return now, 0, nil
	case grown > uint64(len(data))+appendSearch:
		return now, 0, undecided("others have appended much")
	}
	behind, err := s.readBehind(g, size, int(grown))
	switch {
	case err != nil:
		return now, 0, err
	case bytes.HasPrefix(behind, data):
		return now, len(data), nil
	case bytes.HasPrefix(data, behind):
		return now, len(behind), nil
	case bytes.Contains(behind, data):
		return now, 0, undecided("others have appended meanwhile, perhaps the same")
	}
	return now, 0, nil
}

// readBehind reads up to n bytes from offset on, without an open file: that of the
// append may not be for reading.
func (s *session) readBehind(g xlator.GFID, offset uint64, n int) (data []byte, err error) {
	for len(data) < n {
		var rep xdr.ReadRep
		var got int
		size := min(n-len(data), 128<<10)
		x := exchange{
			fop: xdr.FopRead, rep: &rep, reserve: size + roomReply, own: true,
			req:  &xdr.ReadReq{GFID: g, FD: xdr.AnonymousFD, Offset: offset + uint64(len(data)), Size: uint32(size)},
			take: func(part []byte) { data, got = append(data, part...), len(part) },
		}
		if err := s.do(xlator.Internal(), &x); err != nil {
			return nil, err
		}
		if got == 0 {
			break
		}
	}
	return data, nil
}
