package glusterd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// soon is for what happens by itself.
const soon = 30 * time.Second

// status is what these tests look at besides mnt.Status.
type status struct {
	mnt.Status
	Reload struct {
		By    string `json:"by"`
		Error string `json:"error"`
	} `json:"reload"`
	Glusterd *struct {
		Servers []string `json:"servers"`
		Server  string   `json:"server"`
		Error   string   `json:"error"`
		Volfile struct {
			Server string    `json:"server"`
			At     time.Time `json:"at"`
		} `json:"volfile"`
	} `json:"glusterd"`
}

func read(t *testing.T, s mnt.Status) status {
	t.Helper()
	st := status{}
	if err := json.Unmarshal(s.Raw, &st); err != nil {
		t.Fatal(err)
	}
	if st.Status = s; st.Glusterd == nil {
		t.Fatalf("status does not name the servers:\n%s", s.Raw)
	}
	return st
}

// wait waits until the status is so.
func wait(t *testing.T, m *mnt.M, what string, ok func(s status) bool) status {
	t.Helper()
	return read(t, m.WaitStatus(soon, what, func(s mnt.Status) bool { return ok(read(t, s)) }))
}

// graph is the graph in service, as text.
func graph(t *testing.T, m *mnt.M) string {
	t.Helper()
	text, err := m.Run("graph", m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// waitGraph waits until a translator is in the graph or not.
func waitGraph(t *testing.T, m *mnt.M, translator string, in bool) {
	t.Helper()
	for end := time.Now().Add(soon); strings.Contains(graph(t, m), translator) != in; {
		if time.Now().After(end) {
			t.Fatalf("%s in the graph: want %v\n%s", translator, in, graph(t, m))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(data), 0o644))
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %q %v, want %q", path, got, err, want)
	}
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return all
}

// xattr is an extended attribute, or the error's name.
func xattr(path, name string) string {
	b := make([]byte, 4096)
	n, err := unix.Lgetxattr(path, name, b)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", b[:n])
}

// wholeRing is the layout of a directory on the only brick.
const wholeRing = "000000000000000000000000ffffffff"

func isErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// refused mounts what must be refused, and returns why.
func refused(t *testing.T, source string, opts ...mnt.Option) string {
	t.Helper()
	_, err := mnt.TryMount(t, source, opts...)
	if err == nil {
		t.Fatalf("%s was mounted", source)
	}
	return err.Error()
}

// helper is the program as mount(8) calls it.
func helper(t *testing.T) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "mount.holdfast")
	must(t, os.Symlink(mnt.Binary(t), link))
	return link
}

// run runs a command with a time limit.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command("timeout", append([]string{"60", name}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	return lab.Start(t, lab.Disk(1<<30))
}
