package gluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/posix"
)

func TestMain(m *testing.M) {
	posix.Child()
	os.Exit(m.Run())
}

// layer is a translator above the brick's.
type layer struct{ name, typ, options string }

// volfile is the graph of a volume of one brick: protocol/client, the layers,
// io-stats. options are lines of the client's.
func volfile(host string, b *lab.Brick, options string, layers ...layer) string {
	var f strings.Builder
	fmt.Fprintf(&f, "volume one-client-0\n    type protocol/client\n    option remote-host %s\n    option remote-subvolume %s\n%send-volume\n\n", host, b.Path, options)
	below := "one-client-0"
	for _, l := range append(layers, layer{"one", "debug/io-stats", ""}) {
		fmt.Fprintf(&f, "volume %s\n    type %s\n%s    subvolumes %s\nend-volume\n\n", l.name, l.typ, l.options, below)
		below = l.name
	}
	return f.String()
}

// writeVolfile puts the text into a .vol file.
func writeVolfile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "one.vol")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// asked is how often something is done: as the environment says, or n times.
func asked(t testing.TB, env string, n int) int {
	t.Helper()
	if v := os.Getenv(env); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", env, err)
		}
	}
	return n
}

// long reports whether everything is asked for.
func long(t testing.TB) bool { return asked(t, "HOLDFAST_TEST_LONG", 0) > 0 }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mount mounts a volume of one brick.
func mount(t testing.TB, l *lab.Lab, v *lab.Volume, opts ...mnt.Option) *mnt.M {
	t.Helper()
	return mnt.Mount(t, writeVolfile(t, volfile(l.Host, v.Bricks[0], "")), opts...)
}
