package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// What becomes of a request whose reply was lost with the connection:
//
//	lookup, stat, read, list, open, lock ... sent again
//	write, setattr, allocate ............... sent again: twice is as once
//	make, link ............................. the name bears the chosen gfid: done
//	unlink, rmdir .......................... the name is not the victim's: done
//	rename ................................. the new name is the moved object's: done
//	truncate ............................... the size is right: done
//	setxattr, removexattr .................. the value is there, or gone: done
//	append ................................. see append.go
//	xattrop that adds ...................... ENOTCONN

// errUnknown is the end of a request that must not be repeated.
var errUnknown = fmt.Errorf("the connection was lost, and nobody knows whether this was done: %w", syscall.ENOTCONN)

// xattrOf reads one attribute on the client's own behalf.
func (s *session) xattrOf(g xlator.GFID, name string) (value []byte, err error) {
	var rep xdr.XattrRep
	x := exchange{
		fop: xdr.FopGetxattr, req: &xdr.GetxattrReq{GFID: g, NameLen: 1, Name: name}, rep: &rep, reserve: roomXattrs, own: true,
		take: func([]byte) {
			v, _ := rep.Dict.Bytes(name)
			value = append([]byte{}, v...)
		},
	}
	err = s.do(xlator.Internal(), &x)
	return value, err
}

// setting prepares a setxattr that must find the attribute absent, or there: only
// who has looked before knows afterwards whether he set it. Without such a demand
// setting it twice is as once.
func (c *Client) setting(ctx context.Context, x *exchange, g xlator.GFID, set *xlator.Dict, flags uint32) error {
	if flags&(unix.XATTR_CREATE|unix.XATTR_REPLACE) == 0 || set.Len() != 1 {
		return nil
	}
	key := set.Pairs()[0].Key
	want, _ := set.Bytes(key)
	x.intent = xlator.Intent{A: g}
	x.resolve = func() (bool, error) {
		got, err := c.s.xattrOf(g, key)
		switch {
		case errors.Is(err, syscall.ENODATA), err == nil && !bytes.Equal(got, want):
			return false, nil
		case err != nil:
			return false, unlessAbsent(err)
		}
		c.s.counts.resolved.Add(1)
		return true, nil
	}
	if _, again := intended(xlator.CallFrom(ctx), x.fop); again {
		return nil
	}
	_, err := c.s.xattrOf(g, key)
	switch {
	case err == nil && flags&unix.XATTR_CREATE != 0:
		return syscall.EEXIST
	case errors.Is(err, syscall.ENODATA) && flags&unix.XATTR_REPLACE != 0:
		return err
	}
	return nil // what else is wrong the brick will say
}

// removing prepares a removexattr, in the same way.
func (c *Client) removing(ctx context.Context, x *exchange, g xlator.GFID, name string) error {
	x.intent = xlator.Intent{A: g}
	x.resolve = func() (bool, error) {
		_, err := c.s.xattrOf(g, name)
		if errors.Is(err, syscall.ENODATA) {
			c.s.counts.resolved.Add(1)
			return true, nil
		}
		return false, unlessAbsent(err)
	}
	if _, again := intended(xlator.CallFrom(ctx), x.fop); again {
		return nil
	}
	if _, err := c.s.xattrOf(g, name); errors.Is(err, syscall.ENODATA) {
		return err
	}
	return nil
}

// cutting makes a truncation one that is not repeated if the file has the size:
// what others have written since must not be cut as well.
func (c *Client) cutting(x *exchange, g xlator.GFID, size uint64, rep *xdr.AttrRep) {
	x.intent = xlator.Intent{A: g, Size: size}
	x.resolve = func() (bool, error) {
		now, err := c.s.attr(g)
		if err != nil || now.Size != size {
			return false, unlessAbsent(err)
		}
		c.s.counts.resolved.Add(1)
		*rep = xdr.AttrRep{Post: now}
		return true, nil
	}
}

// attr asks for attributes on the client's own behalf.
func (s *session) attr(g xlator.GFID) (xdr.Iatt, error) {
	var rep xdr.StatRep
	x := exchange{fop: xdr.FopStat, req: &xdr.StatReq{GFID: g}, rep: &rep, own: true}
	err := s.do(xlator.Internal(), &x)
	return rep.Stat, err
}
