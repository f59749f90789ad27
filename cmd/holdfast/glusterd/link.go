package glusterd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// link is one connection to one daemon.
type link struct {
	// Constant after construction.
	server string
	conn   *rpc.Conn
	mem    rpc.Memory

	users sync.WaitGroup // calls over it
}

// layout has room for the largest volfile.
var layout = rpc.Layout{Slots: 16, Ring: xdr.MaxVolfile + 1<<20}

// dial connects to one server and makes sure that a management daemon answers.
func (c *Client) dial(host string) (*link, error) {
	addr := c.address(host)
	ctx, cancel := context.WithTimeout(c.ctx, attemptLimit)
	defer cancel()
	sock, err := rpc.Dial(ctx, "tcp", addr, rpc.SocketOptions{KeepAliveTime: 20 * time.Second, KeepAliveInterval: 2 * time.Second, KeepAliveCount: 9})
	if err != nil {
		return nil, explain(addr, host, err)
	}
	l := &link{server: addr}
	if l.mem, err = rpc.Private(layout); err != nil {
		_ = sock.Close() // nothing was sent
		return nil, err
	}
	l.conn, err = rpc.Open(l.mem, sock, rpc.Options{Name: "glusterd " + addr, PingTimeout: silenceLimit, OnCallback: c.callback})
	if err != nil {
		return nil, errors.Join(err, l.mem.Close())
	}
	if err := l.introduce(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// explain says what a failure to connect means to whoever mounts.
func explain(addr, host string, err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fmt.Errorf("host %s is unknown", host)
		}
		return fmt.Errorf("host %s: its address could not be found: %s", host, dns.Err)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: does glusterd run there? (%w)", addr, syscall.ECONNREFUSED)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%s does not answer within %s: %w", addr, attemptLimit, syscall.ETIMEDOUT)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("there is no way to %s: %w", addr, syscall.EHOSTUNREACH)
	}
	return err
}

// introduce asks which programs the server has.
func (l *link) introduce(ctx context.Context) error {
	var rep xdr.DumpRep
	err := l.call(ctx, xdr.ProgramDump, xdr.ProgramDumpVersion, xdr.DumpDump, 0, &xdr.DumpReq{ID: 1}, &rep)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%s is connected and does not answer within %s: %w", l.server, attemptLimit, syscall.ETIMEDOUT)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%s hangs up on us (management over TLS is not supported yet): %w", l.server, syscall.ECONNRESET)
	case err != nil:
		return fmt.Errorf("%s does not speak GlusterFS's protocol: %w", l.server, err)
	case !rep.Has(xdr.ProgramHandshake, xdr.ProgramHandshakeVer) || !rep.Has(xdr.ProgramPortmap, xdr.ProgramPortmapVersion):
		return fmt.Errorf("%s is no management daemon (a brick's port?)", l.server)
	}
	return nil
}

func (l *link) ping(ctx context.Context) error {
	var rep xdr.PingRep
	return l.call(ctx, xdr.ProgramDump, xdr.ProgramDumpVersion, xdr.DumpPing, 0, &xdr.Empty{}, &rep)
}

// call asks the daemon; room is how long the reply may be, 0 for a short one.
func (l *link) call(ctx context.Context, prog, vers, proc uint32, room int, req, rep xdr.Message) error {
	r := rpc.Request{Prog: prog, Vers: vers, Proc: proc, Cred: rpc.Cred{PID: int32(os.Getpid())}, Args: req.AppendTo(nil), MaxReply: room}
	reply, err := l.conn.Call(ctx, &r)
	if err != nil {
		return err
	}
	defer reply.Release()
	return xdr.Decode(reply.Body, rep)
}

// close ends the connection, and waits for those who use it.
func (l *link) close() {
	_ = l.conn.Close() // says nothing
	l.users.Wait()
	_ = l.mem.Close() // nothing can be done about it
}

// callback takes the daemon's calls; of other programs' nothing is expected.
func (c *Client) callback(cb rpc.Callback) {
	if cb.Prog == xdr.ProgramCallback && cb.Proc == xdr.CallbackFetchspec {
		c.tell()
	}
}
