package rpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes a certificate and its key as PEM files NAME.pem and NAME.key in
// dir. by is who signs it; nil: itself.
func certify(t testing.TB, dir, name string, by *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}}
	if by == nil {
		by = a
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// serveTLS runs a server that wants certificates of the authority in dir.
func serveTLS(t testing.TB, dir string, handle func(*served)) *server {
	t.Helper()
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{handle: handle, conns: map[*serverConn]bool{}}
	s.Listener = tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12, // as a 10.3 brick
	})
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.stop)
	return s
}

func files(dir string) TLS {
	return TLS{Certificate: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key"), Authorities: filepath.Join(dir, "ca.pem"), Depth: 1}
}

func certificates(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	ca := certify(t, dir, "ca", nil)
	certify(t, dir, "server", ca)
	certify(t, dir, "client", ca)
	return dir
}

func TestCallsGoOverTLS(t *testing.T) {
	dir := certificates(t)
	s := serveTLS(t, dir, func(r *served) { r.reply(r.args) })
	sock, err := Secure(within(t), dial(t, s), files(dir))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := Private(Layout{Slots: 64, Ring: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(mem, sock, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, c, mem) })
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			args := bytes.Repeat([]byte{byte(n), 1, 2, 3}, 1)
			payload := bytes.Repeat([]byte{byte(n), 4, 5, 6}, 1<<(n%5*4)) // up to 256 KiB
			reply, err := c.Call(within(t), &Request{Prog: 1, Vers: 1, Proc: 1, Args: args, Payload: payload, MaxReply: len(payload) + 100})
			if err != nil {
				t.Error(err)
				return
			}
			defer reply.Release()
			if !bytes.Equal(reply.Body, append(args, payload...)) {
				t.Errorf("call %d: another answer", n)
			}
		})
	}
	wg.Wait()
	s.stop()
	<-c.Lost()
	if !errors.Is(c.Err(), syscall.ECONNRESET) {
		t.Errorf("lost by %v", c.Err())
	}
}

func TestBadCertificatesAreExplained(t *testing.T) {
	dir := certificates(t)
	s := serveTLS(t, dir, func(r *served) { r.reply(r.args) })
	other := certificates(t)
	for _, c := range []struct {
		name, want string
		change     func(o *TLS)
	}{
		{"no certificate of ours", "no such file", func(o *TLS) { o.Certificate += "x" }},
		{"a key of another", "private key does not match", func(o *TLS) { o.Key = filepath.Join(other, "client.key") }},
		{"no authorities", "no such file", func(o *TLS) { o.Authorities += "x" }},
		{"authorities that are none", "there is no certificate in", func(o *TLS) { o.Authorities = o.Key }},
		{"a server of another authority", `certificate of "server" is not one that`, func(o *TLS) { o.Authorities = filepath.Join(other, "ca.pem") }},
		{"no authority between", "ssl-cert-depth", func(o *TLS) { o.Depth = -1 }},
	} {
		o := files(dir)
		c.change(&o)
		_, err := Secure(within(t), dial(t, s), o)
		if _, ok := errors.AsType[*BadTLSError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A certificate of another authority is refused by the server.
	o := files(other)
	o.Authorities = filepath.Join(dir, "ca.pem")
	sock, err := Secure(within(t), dial(t, s), o)
	if err == nil {
		_, err = sock.Read(make([]byte, 1))
		sock.Close()
	}
	if err == nil {
		t.Error("a certificate that the server does not know is taken")
	}
}

func TestServerWithoutTLSIsExplained(t *testing.T) {
	dir := certificates(t)
	s := &server{conns: map[*serverConn]bool{}, onConn: func(c *serverConn) { c.Close() }}
	s.listen(t, "tcp", "127.0.0.1:0")
	t.Cleanup(s.stop)
	_, err := Secure(within(t), dial(t, s), files(dir))
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("got %v", err)
	}
}
