package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TLS says with which files a connection is made secure (the volfile's
// transport.socket.ssl-*). It is comparable. The files are PEM and are read for
// each connection, so that new certificates count from the next one on.
type TLS struct {
	// Certificate and Key are who we are, Authorities are whom we believe. The
	// server's name is not compared with its certificate's, as GlusterFS does it.
	Certificate, Key, Authorities string
	// Depth is how many authorities there may be between the server's certificate
	// and one that we believe.
	Depth int
}

func (o *TLS) config() (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
	if err != nil {
		return nil, fmt.Errorf("our certificate %s and its key %s: %w", o.Certificate, o.Key, err)
	}
	pem, err := os.ReadFile(o.Authorities)
	if err != nil {
		return nil, fmt.Errorf("the authorities that we believe: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the authorities that we believe: there is no certificate in %s", o.Authorities)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		MinVersion:   tls.VersionTLS12,
		// Names are not compared; VerifyConnection does the rest.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return o.verify(s.PeerCertificates, roots) },
	}, nil
}

// verify checks the server's certificate and those that it sent with it.
func (o *TLS) verify(sent []*x509.Certificate, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, c := range sent[1:] {
		between.AddCert(c)
	}
	chains, err := sent[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("the certificate of %q is not one that %s vouches for: %w", sent[0].Subject.CommonName, o.Authorities, err)
	}
	for _, c := range chains {
		if len(c)-2 <= o.Depth {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %q has more than %d authorities above it (ssl-cert-depth)", sent[0].Subject.CommonName, o.Depth)
}

// BadTLSError says that a connection cannot be made secure with what we have: the
// files are missing or wrong, or one side does not accept the other's certificate.
type BadTLSError struct{ err error }

// Error implements error.
func (e *BadTLSError) Error() string { return "TLS: " + e.err.Error() }

// Unwrap returns the cause.
func (e *BadTLSError) Unwrap() error { return e.err }

// Secure shakes hands over conn, which belongs to the result from then on and is
// closed if it fails. The result is the plain side: a local socket whose bytes
// pass through crypto/tls. The kernel's counts of that socket say nothing about
// the server, so such a connection does not outlive the process.
func Secure(ctx context.Context, conn net.Conn, o TLS) (net.Conn, error) {
	s, err := secure(ctx, conn, o)
	if err != nil {
		_ = conn.Close() // the first error is the one to tell
		return nil, err
	}
	return s, nil
}

func secure(ctx context.Context, conn net.Conn, o TLS) (*secured, error) {
	cfg, err := o.config()
	if err != nil {
		return nil, &BadTLSError{err}
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil, fmt.Errorf("TLS: the server hangs up: it does not speak TLS, or does not accept our certificate %s: %w", o.Certificate, syscall.ECONNRESET)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return nil, &BadTLSError{err}
	}
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	s := &secured{UnixConn: ours, under: conn}
	s.bridge(t, theirs)
	return s, nil
}

// pair makes two connected sockets.
func pair() (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "tls")
		var e error
		conns[i], e = net.FileConn(f)
		err = errors.Join(err, e, f.Close())
	}
	a, _ = conns[0].(*net.UnixConn)
	b, _ = conns[1].(*net.UnixConn)
	if err != nil {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // the first error is the one to tell
			}
		}
		return nil, nil, err
	}
	return a, b, nil
}

// secured is the plain side of a secure connection.
type secured struct {
	*net.UnixConn          // its bytes are plain
	under         net.Conn // has the sealed ones
	wg            sync.WaitGroup
}

// bridgeBuffer is a few TLS records (16 KiB each).
const bridgeBuffer = 128 << 10

// bridge copies both ways until one of them ends, which ends both. What has come
// from the server is given to us first.
func (s *secured) bridge(t *tls.Conn, theirs *net.UnixConn) {
	type plain struct{ io.ReadWriter } // no short cuts of package net: they make small records
	s.wg.Go(func() {
		_, _ = io.CopyBuffer(plain{theirs}, plain{t}, make([]byte, bridgeBuffer))
		_ = theirs.Close() // we see the end
		_ = s.under.Close()
	})
	s.wg.Go(func() {
		_, _ = io.CopyBuffer(plain{t}, plain{theirs}, make([]byte, bridgeBuffer))
		_ = t.CloseWrite() // the server's log is clean
		_ = s.under.Close()
	})
}

// farewell is how long the end may take to reach the server.
const farewell = 100 * time.Millisecond

// Close ends the connection and waits until its two copiers have ended.
func (s *secured) Close() error {
	err := s.UnixConn.Close()
	_ = s.under.SetWriteDeadline(time.Now().Add(farewell)) // it may be closed already
	s.wg.Wait()
	return err
}
