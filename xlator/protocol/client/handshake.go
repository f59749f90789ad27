package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// finalError is a refusal that does not pass by waiting: somebody has to change
// something first.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func isFinal(err error) bool {
	_, ok := errors.AsType[*finalError](err)
	return ok
}

const (
	// dialTimeout is for a server that nothing is heard of. The kernel asks it less
	// and less often; a new attempt is there sooner when it is back.
	dialTimeout = 5 * time.Second
	// handshakeTimeout is for a server that accepts connections and says nothing.
	handshakeTimeout = 10 * time.Second
)

// dial is rpc.Dial with its time-out.
func dial(ctx context.Context, network, address string, o rpc.SocketOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return rpc.Dial(ctx, network, address, o)
}

// manager is a connection to the management daemon, kept while a brick is away.
type manager struct{ p *plain }

func (m *manager) close() {
	if m.p != nil {
		_ = m.p.Close() // nothing is in flight
		m.p = nil
	}
}

// port asks the management daemon for the brick's port.
func (m *manager) port(ctx context.Context, k *key, o rpc.SocketOptions) (port int, err error) {
	address := net.JoinHostPort(k.host, strconv.Itoa(managementPort))
	if m.p == nil {
		conn, err := dial(ctx, k.network, address, o)
		if err != nil {
			return 0, fmt.Errorf("no management daemon at %s: is glusterd running there, and does a firewall let port %d through? %w", address, managementPort, err)
		}
		m.p = &plain{Conn: conn}
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, fmt.Errorf("it does not answer: %w", syscall.ETIMEDOUT))
	defer cancel()
	var rep xdr.PortByBrickRep
	err = m.p.call(ctx, xdr.ProgramPortmap, xdr.ProgramPortmapVersion, xdr.PortmapPortByBrick, &xdr.PortByBrickReq{Brick: k.subvolume}, &rep)
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask the management daemon at %s for the port of brick %s: %w", address, k.subvolume, err)
	case rep.Ret < 0 || rep.Port <= 0 || rep.Port > 65535:
		return 0, nil
	}
	return int(rep.Port), nil
}

// connect makes a connection on which SETVOLUME has succeeded.
// last is where the brick was last, or 0: if the management daemon is away, that
// is tried.
func (k *key) connect(ctx context.Context, m *manager, o rpc.SocketOptions, last int) (conn net.Conn, w welcome, err error) {
	address := k.path
	if k.network != "unix" {
		port := k.port
		if port == 0 {
			if port, err = m.port(ctx, k, o); err != nil && last == 0 {
				return nil, w, err
			}
			if err != nil {
				port = last
			}
			if port == 0 {
				return nil, w, fmt.Errorf("brick %s does not run: start it with `gluster volume start VOLUME` (and force, if the volume is started): %w", k.brick(), syscall.ECONNREFUSED)
			}
		}
		address = net.JoinHostPort(k.host, strconv.Itoa(port))
	}
	if conn, err = k.dial(ctx, address, o); err != nil {
		return nil, w, fmt.Errorf("brick %s: %w", k.brick(), err)
	}
	if w, err = k.greet(ctx, &plain{Conn: conn}); err != nil {
		_ = conn.Close() // the first error is the one to tell
		return nil, w, fmt.Errorf("brick %s at %s: %w", k.brick(), address, err)
	}
	m.close()
	return conn, w, nil
}

// dial connects to the brick, securely if that is asked for.
func (k *key) dial(ctx context.Context, address string, o rpc.SocketOptions) (net.Conn, error) {
	conn, err := dial(ctx, k.network, address, o)
	if err != nil || !k.secure {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err = rpc.Secure(ctx, conn, k.tls)
	if _, ok := errors.AsType[*rpc.BadTLSError](err); ok {
		return nil, &finalError{err}
	}
	return conn, err
}

// welcome is what a brick says to SETVOLUME.
type welcome struct {
	volume uuid.UUID
	up     bool // the brick's own back-end is well
}

// greet asks which programs the server has and begins a session.
func (k *key) greet(ctx context.Context, p *plain) (w welcome, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout,
		fmt.Errorf("it accepts connections and does not answer: is it stopped, or does it want TLS (client.ssl)? %w", syscall.ETIMEDOUT))
	defer cancel()
	var progs xdr.DumpRep
	if err := p.call(ctx, xdr.ProgramDump, xdr.ProgramDumpVersion, xdr.DumpDump, &xdr.DumpReq{}, &progs); err != nil {
		return w, k.unheard(err)
	}
	if !progs.Has(xdr.ProgramFops, xdr.ProgramFopsVersion) {
		return w, &finalError{fmt.Errorf("it does not serve GlusterFS's fop version %d (GlusterFS 4 and later do): %w", xdr.ProgramFopsVersion, syscall.EPROTONOSUPPORT)}
	}
	var rep xdr.SetvolumeRep
	if err := p.call(ctx, xdr.ProgramHandshake, xdr.ProgramHandshakeVer, xdr.HandshakeSetvolume, &xdr.SetvolumeReq{Dict: k.introduction()}, &rep); err != nil {
		return w, fmt.Errorf("SETVOLUME: %w", err)
	}
	if err := rep.Err(); err != nil {
		return w, k.refusal(&rep, err)
	}
	text, _ := rep.Dict.Text("volume-id")
	if w.volume, err = uuid.Parse(text); err != nil {
		return w, &finalError{fmt.Errorf("its volume-id is %q, which is not a uuid: %w", text, syscall.EPROTO)}
	}
	up, told := rep.Dict.Int("child_up")
	w.up = !told || up != 0
	return w, nil
}

// unheard explains why the first question of a session has no answer.
func (k *key) unheard(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("which programs does it have: %w", err)
	}
	if k.secure {
		return fmt.Errorf("it hangs up: it may not accept our certificate %s: see its log, and `gluster volume get VOLUME auth.ssl-allow`: %w", k.tls.Certificate, syscall.ECONNRESET)
	}
	return fmt.Errorf("it hangs up: if it wants TLS (server.ssl), so must the volfile (client.ssl): %w", syscall.ECONNRESET)
}

// introduction is who we are. The process-uuid is new each time: one that is
// used again can kill the brick.
func (k *key) introduction() xdr.OldDict {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id := fmt.Sprintf("CTX_ID:%s-GRAPH_ID:0-PID:%d-HOST:%s-PC_NAME:holdfast-RECON_NO:-0", uuid.New(), os.Getpid(), host)
	d := xdr.OldDict{
		xdr.OldText("remote-subvolume", k.subvolume),
		xdr.OldText("process-uuid", id),
		xdr.OldText("process-name", "holdfast"),
		xdr.OldInt("fops-version", xdr.ProgramFops),
		xdr.OldText("client-version", "10.3"),
		xdr.OldText("opversion", "100000"),
		xdr.OldText("clnt-lk-version", "1"),
	}
	for name, v := range map[string]string{"username": k.username, "password": k.password, "subdir-mount": k.subdir} {
		if v != "" {
			d = append(d, xdr.OldText(name, v))
		}
	}
	return d
}

// refusal says what can be done about it.
func (k *key) refusal(rep *xdr.SetvolumeRep, err error) error {
	said, _ := rep.Dict.Text("ERROR")
	if said == "" {
		said = err.Error()
	}
	switch {
	case errors.Is(err, syscall.EACCES):
		what := "`gluster volume get VOLUME auth.allow` says who may mount it"
		if k.username != "" {
			what += "; the volfile's username and password may be outdated"
		}
		return &finalError{fmt.Errorf("it refuses this client (%s): %s: %w", said, what, err)}
	case errors.Is(err, syscall.ENOENT) && k.subdir != "":
		return &finalError{fmt.Errorf("it has no brick %s, or no directory %s in it (%s): `gluster volume info` lists the bricks: %w", k.subvolume, k.subdir, said, err)}
	case errors.Is(err, syscall.ENOENT):
		// A brick that has just been started does not know itself yet, so this
		// may pass.
		return fmt.Errorf("it has no brick %s (%s): `gluster volume info` lists the bricks: %w", k.subvolume, said, err)
	case errors.Is(err, syscall.ESTALE):
		return fmt.Errorf("the volfile is older than the brick's (%s): %w", said, err)
	}
	return fmt.Errorf("SETVOLUME: %s: %w", said, err)
}
