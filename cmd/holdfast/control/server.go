package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxRequest = 1 << 20
	maxFDs     = 4                // with a request
	idleLimit  = 10 * time.Second // for a client to send its line, or to take the reply
)

// Handler answers a request; what it returns goes through encoding/json.
type Handler func(ctx context.Context, r *Request) (any, error)

// Server answers the commands.
type Server struct {
	handle Handler
	log    *slog.Logger
	lis    *net.UnixListener
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu; nil after Close
}

// Serve answers on lis, which is the Server's then. The socket's file stays
// when it is closed.
func Serve(lis *net.UnixListener, h Handler, log *slog.Logger) *Server {
	lis.SetUnlinkOnClose(false)
	v := &Server{handle: h, log: log, lis: lis, conns: map[net.Conn]struct{}{}}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.wg.Go(v.accept)
	return v
}

// ServeFD is Serve on a copy of the descriptor of a listening socket.
func ServeFD(fd int, h Handler, log *slog.Logger) (*Server, error) {
	c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	f := os.NewFile(uintptr(c), "control")
	defer f.Close()
	lis, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := lis.(*net.UnixListener)
	if !ok {
		lis.Close()
		return nil, errors.New("control socket: not a unix socket")
	}
	return Serve(u, h, log), nil
}

func (v *Server) accept() {
	for {
		c, err := v.lis.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			v.log.Warn("control socket: accept", "err", err)
			select {
			case <-time.After(100 * time.Millisecond): // out of descriptors, say
			case <-v.ctx.Done():
				return
			}
			continue
		}
		v.mu.Lock()
		open := v.conns != nil
		if open {
			v.conns[c] = struct{}{}
			v.wg.Go(func() { v.serve(c) })
		}
		v.mu.Unlock()
		if !open {
			c.Close()
			return
		}
	}
}

func (v *Server) serve(c *net.UnixConn) {
	defer func() {
		v.mu.Lock()
		delete(v.conns, c)
		v.mu.Unlock()
		c.Close()
	}()
	c.SetReadDeadline(time.Now().Add(idleLimit))
	line, fds, err := readRequest(c)
	defer closeAll(&fds)
	if err != nil {
		return // gone, or talks something else
	}
	c.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	r := Request{conn: c}
	var body any
	if err = json.Unmarshal(line, &r); err == nil {
		if r.Timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, r.Timeout)
			defer cancel()
		}
		r.FDs, fds = fds, nil
		body, err = v.handle(ctx, &r)
		closeAll(&r.FDs)
	}
	if r.taken {
		return
	}
	if err := WriteReply(c, body, err); err != nil {
		v.log.Debug("control socket: reply", "op", r.Op, "err", err)
	}
}

// WriteReply answers a request, with an error or a body.
func WriteReply(c net.Conn, body any, err error) error {
	var reply Reply
	if err == nil {
		reply.Body, err = json.Marshal(body)
	}
	if err != nil {
		reply = Reply{Error: err.Error()}
	}
	b, err := json.Marshal(&reply)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(idleLimit)); err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

// readRequest reads a line and the descriptors that come with it.
func readRequest(c *net.UnixConn) (line []byte, fds []int, err error) {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*maxFDs))
	for len(line) < maxRequest {
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if msgs, perr := unix.ParseSocketControlMessage(oob[:oobn]); perr == nil {
			for i := range msgs {
				if got, rerr := unix.ParseUnixRights(&msgs[i]); rerr == nil {
					fds = append(fds, got...)
				}
			}
		}
		line = append(line, buf[:n]...)
		if err != nil || n == 0 {
			return nil, fds, io.ErrUnexpectedEOF
		}
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			return line[:i], fds, nil
		}
	}
	return nil, fds, errors.New("too long")
}

func closeAll(fds *[]int) {
	for _, fd := range *fds {
		_ = unix.Close(fd)
	}
	*fds = nil
}

// Close cancels what is being answered and waits for it. The files stay.
func (v *Server) Close() {
	v.lis.Close()
	v.cancel()
	v.mu.Lock()
	v.conns = nil // those that answer close theirs
	v.mu.Unlock()
	v.wg.Wait()
}
