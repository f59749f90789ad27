package client

import (
	"bytes"
	"context"
	"fmt"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// An append is the brick's: where it goes is decided there, so that appends of
// several clients do not meet. If its reply is lost, the file tells whether it was
// carried out: the bytes from the size on that the file had before.

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
	x.resolve = func() (bool, error) {
		now, done, err := c.s.appended(g, size, x.payload)
		if !done || err != nil {
			size = now.Size // what is there is not ours
			return false, err
		}
		c.s.counts.resolved.Add(1)
		*rep = xdr.AttrRep{Result: xdr.Result{Ret: int32(len(x.payload))}, Post: now}
		return true, nil
	}
	return nil
}

// appended looks whether the data was appended to a file of that size.
func (s *session) appended(g xlator.GFID, size uint64, data []byte) (now xdr.Iatt, done bool, err error) {
	if now, err = s.attr(g); err != nil {
		return now, false, err
	}
	undecided := func(why string) error {
		return fmt.Errorf("an append of %d bytes, whose reply was lost, may or may not be in the file: %s: %w", len(data), why, syscall.EIO)
	}
	switch {
	case now.Size < size:
		return now, false, undecided("somebody has cut it meanwhile")
	case now.Size-size < uint64(len(data)):
		return now, false, nil
	case now.Size-size > uint64(len(data))+appendSearch:
		return now, false, undecided("others have appended much")
	}
	behind, err := s.readBehind(g, size, int(now.Size-size))
	switch {
	case err != nil:
		return now, false, err
	case bytes.HasPrefix(behind, data):
		return now, true, nil
	case bytes.Contains(behind, data):
		return now, false, undecided("others have appended meanwhile, perhaps the same")
	}
	return now, false, nil
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
