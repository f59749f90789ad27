package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// plain is one call after the other on a connection that is nobody's yet: the
// handshake with a brick, before a rpc.Conn begins on its socket, and questions
// to the management daemon. It reads not a byte more than its replies have.
type plain struct {
	net.Conn
	xid uint32
}

const (
	// largestReply is far above what a handshake is answered with.
	largestReply = 1 << 20

	authGlusterFSv2 = 390039
	lastFragment    = 1 << 31
)

// call sends a request as root with no groups and decodes its reply.
func (p *plain) call(ctx context.Context, prog, vers, proc uint32, req, rep xdr.Message) error {
	stop := context.AfterFunc(ctx, func() { _ = p.SetDeadline(time.Unix(1, 0)) }) // ends a read or write under way
	defer stop()
	err := p.exchange(prog, vers, proc, req, rep)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *plain) exchange(prog, vers, proc uint32, req, rep xdr.Message) error {
	p.xid++
	be := binary.BigEndian
	var b []byte
	for _, v := range []uint32{0, p.xid, 0, 2, prog, vers, proc, authGlusterFSv2, 20, uint32(os.Getpid()), 0, 0, 0, 0, 0, 0} {
		b = be.AppendUint32(b, v)
	}
	b = req.AppendTo(b)
	be.PutUint32(b, lastFragment|uint32(len(b)-4))
	if _, err := p.Write(b); err != nil {
		return err
	}
	for {
		body, err := p.record()
		if err != nil {
			return err
		}
		d := xdr.NewDecoder(body)
		xid, kind, state := d.Uint32("xid"), d.Uint32("type"), d.Uint32("reply state")
		if kind == 0 {
			continue // a callback has come already; it concerns nothing that we have
		}
		if d.Err() != nil || xid != p.xid || kind != 1 {
			return fmt.Errorf("not a reply to what was asked: %w", syscall.EPROTO)
		}
		if state != 0 {
			return fmt.Errorf("the server refuses our credentials (RPC denied): %w", syscall.EACCES)
		}
		d.Uint32("verifier")
		d.Opaque("verifier", 400)
		if stat := d.Uint32("accept state"); stat != 0 || d.Err() != nil {
			return fmt.Errorf("the server does not serve procedure %d of program %d version %d (accept_stat %d): %w", proc, prog, vers, stat, syscall.EOPNOTSUPP)
		}
		rep.DecodeFrom(&d)
		return d.Finish()
	}
}

// record reads one record.
func (p *plain) record() ([]byte, error) {
	var mark [4]byte
	if _, err := io.ReadFull(p, mark[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(mark[:])
	if n&lastFragment == 0 || n&^lastFragment > largestReply {
		return nil, fmt.Errorf("a record that begins with %#x: is this a GlusterFS server? %w", n, syscall.EPROTO)
	}
	body := make([]byte, n&^lastFragment)
	_, err := io.ReadFull(p, body)
	return body, err
}
