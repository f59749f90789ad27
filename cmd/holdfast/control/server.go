package control

import (
	"bufio"
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
)

const (
	maxRequest = 1 << 20
	idleLimit  = 10 * time.Second // for a client to send its line, or to take the reply
)

// Handler answers a request; what it returns goes through encoding/json.
type Handler func(ctx context.Context, r *Request) (any, error)

// Server listens for the commands.
type Server struct {
	dir    string
	state  State
	handle Handler
	log    *slog.Logger
	lis    net.Listener
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu; nil after Close
}

// Listen makes the socket and the state file of a mount and answers on it.
func Listen(s State, h Handler, log *slog.Logger) (*Server, error) {
	return listen(Dir, s, h, log)
}

func listen(dir string, s State, h Handler, log *slog.Logger) (*Server, error) {
	fail := func(err error) (*Server, error) { return nil, fmt.Errorf("control socket: %w", err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := prepare(dir); err != nil {
		return fail(err)
	}
	s.PID = os.Getpid()
	if s.Started, err = StartTime(s.PID); err != nil {
		return fail(err)
	}
	// The number belongs to us: the kernel gave it to our mount.
	path := socketPath(dir, s.Minor)
	os.Remove(path)
	lis, err := net.Listen("unix", path)
	if err != nil {
		return fail(err)
	}
	if err := writeState(statePath(dir, s.Minor), s); err != nil {
		lis.Close()
		return fail(err)
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	v := &Server{dir: dir, state: s, handle: h, log: log, lis: lis, conns: map[net.Conn]struct{}{}}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.wg.Go(v.accept)
	return v, nil
}

func writeState(path string, s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (v *Server) accept() {
	for {
		c, err := v.lis.Accept()
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

func (v *Server) serve(c net.Conn) {
	defer func() {
		v.mu.Lock()
		delete(v.conns, c)
		v.mu.Unlock()
		c.Close()
	}()
	c.SetReadDeadline(time.Now().Add(idleLimit))
	line, err := bufio.NewReaderSize(io.LimitReader(c, maxRequest), 4096).ReadBytes('\n')
	if err != nil {
		return // gone, or talks something else
	}
	c.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithCancel(v.ctx)
	defer cancel()
	var r Request
	var body any
	if err = json.Unmarshal(line, &r); err == nil {
		if r.Timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, r.Timeout)
			defer cancel()
		}
		body, err = v.handle(ctx, &r)
	}
	var reply Reply
	if err == nil {
		reply.Body, err = json.Marshal(body)
	}
	if err != nil {
		reply = Reply{Error: err.Error()}
	}
	b, err := json.Marshal(&reply)
	if err != nil {
		v.log.Error("control socket: reply", "op", r.Op, "err", err)
		return
	}
	c.SetWriteDeadline(time.Now().Add(idleLimit))
	c.Write(append(b, '\n'))
}

// Ending tells that the mount is gone and only the process is left. Its number
// may belong to another mount by now; the state goes on under the process id,
// so that who mounts the same brick next can wait for us.
func (v *Server) Ending() {
	unlock, err := lockDir(v.dir)
	if err != nil {
		v.log.Warn("control socket", "err", err)
		return
	}
	defer unlock()
	path := statePath(v.dir, v.state.Minor)
	if s, err := readState(path); err != nil || s.PID != v.state.PID {
		return
	}
	os.Remove(socketPath(v.dir, v.state.Minor))
	os.Rename(path, endingPath(v.dir, v.state.PID))
}

// Close removes the files, cancels what is being answered and waits for it.
func (v *Server) Close() {
	v.Ending()
	v.lis.Close()
	v.cancel()
	v.mu.Lock()
	v.conns = nil // those that answer close theirs
	v.mu.Unlock()
	v.wg.Wait()
	os.Remove(endingPath(v.dir, v.state.PID))
}
