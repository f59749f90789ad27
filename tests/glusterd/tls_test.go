package glusterd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// certificates makes a certificate, its key and an authority for a brick and its
// clients, where both see them under one path.
func certificates(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-tls-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=lab", "-keyout", dir+"/key", "-out", dir+"/pem")
	write(t, dir+"/ca", string(readFile(t, dir+"/pem")))
	return dir
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// TestVolumeIsMountedOverTLS beside a stock client, whose mount shows that the
// brick does as it was told.
func TestVolumeIsMountedOverTLS(t *testing.T) {
	l := newLab(t)
	certs, others := certificates(t), certificates(t)
	v := l.Volume("one", lab.Set("client.ssl", "on", "server.ssl", "on", "auth.ssl-allow", "lab",
		"ssl.own-cert", certs+"/pem", "ssl.private-key", certs+"/key", "ssl.ca-list", certs+"/ca"))
	m := mnt.Mount(t, v.Source())
	stock := l.MountStock(v)
	data := strings.Repeat("through TLS and back ", 100_000)
	write(t, filepath.Join(m.Dir, "ours"), data)
	write(t, filepath.Join(stock.Dir, "theirs"), data)
	wantFile(t, filepath.Join(stock.Dir, "ours"), data)
	wantFile(t, filepath.Join(m.Dir, "theirs"), data)

	open, err := os.OpenFile(filepath.Join(m.Dir, "ours"), os.O_RDWR, 0)
	must(t, err)
	defer open.Close()
	v.Bricks[0].Kill()
	v.StartForce()
	_, err = open.WriteAt([]byte("after"), 0)
	must(t, err)
	must(t, open.Sync())
	wantFile(t, filepath.Join(v.Bricks[0].Dir, "ours"), "after"+data[5:])

	vol := v.Volfile()
	for name, c := range map[string]struct{ from, to, want string }{
		"without TLS":                 {"ssl-enabled on", "ssl-enabled off", "client.ssl"},
		"another authority":           {certs + "/ca", others + "/ca", "not one that " + others + "/ca vouches for"},
		"no certificate":              {certs + "/pem", certs + "/none", certs + "/none"},
		"a list of revoked ones":      {"option ping-timeout", "option transport.socket.ssl-crl-path " + certs + "\n    option ping-timeout", "revoked"},
		"a certificate of a stranger": {"ssl-own-cert " + certs + "/pem", "ssl-own-cert " + others + "/pem\n    option transport.socket.ssl-private-key " + others + "/key", "not accept our certificate " + others + "/pem"},
	} {
		text := strings.ReplaceAll(vol, c.from, c.to)
		if text == vol {
			t.Fatalf("%s: no %q in the volfile:\n%s", name, c.from, vol)
		}
		if name == "a certificate of a stranger" {
			text = strings.ReplaceAll(text, "    option transport.socket.ssl-private-key "+certs+"/key\n", "")
		}
		file := filepath.Join(t.TempDir(), "one.vol")
		write(t, file, text)
		if why := refused(t, file); !strings.Contains(why, c.want) {
			t.Errorf("%s: %s", name, why)
		}
	}
}
