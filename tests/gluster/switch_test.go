package gluster_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/lab/relay"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/xlator/protocol/client"
)

var writeBehind = layer{"one-write-behind", "performance/write-behind", ""}

// sessions is what a mount's dump says of its bricks.
func sessions(t testing.TB, m *mnt.M) []client.Dump {
	t.Helper()
	return sessionsIn(t, m.Dump())
}

func sessionsIn(t testing.TB, raw json.RawMessage) []client.Dump {
	t.Helper()
	var dump any
	ok(t, json.Unmarshal(raw, &dump))
	var all []client.Dump
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, is := v["sessions"]; is && v["brick"] != nil {
				b, err := json.Marshal(v)
				ok(t, err)
				var d client.Dump
				ok(t, json.Unmarshal(b, &d))
				all = append(all, d)
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(dump)
	if len(all) == 0 {
		t.Fatalf("no session in the dump:\n%s", raw)
	}
	return all
}

// TestSwitchSendsNothingPerOpenFile: a graph that takes over has what was open,
// among it files without a name, and what was locked, without a call to the brick.
func TestSwitchSendsNothingPerOpenFile(t *testing.T) {
	t.Parallel()
	const files = 100
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	gate := r.Brick(v.Bricks[0])
	text := func(layers ...layer) string { return volfile(r.Host, v.Bricks[0], "", layers...) }
	vol := writeVolfile(t, text())
	m := mnt.Mount(t, vol)
	var open []*os.File
	for i := range files {
		f, err := os.OpenFile(filepath.Join(m.Dir, fmt.Sprint("f", i)), os.O_RDWR|os.O_CREATE, 0o644)
		ok(t, err)
		t.Cleanup(func() { f.Close() })
		_, err = f.WriteAt([]byte(f.Name()), 0)
		ok(t, err)
		open = append(open, f)
	}
	for _, f := range open[:files/2] {
		ok(t, os.Remove(f.Name()))
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 10}
	ok(t, unix.FcntlFlock(open[files-1].Fd(), unix.F_SETLK, &lock))
	stock := l.MountStock(v)
	other, err := os.OpenFile(filepath.Join(stock.Dir, fmt.Sprint("f", files-1)), os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { other.Close() })
	refused := func(when string) {
		t.Helper()
		theirs := lock
		if err := unix.FcntlFlock(other.Fd(), unix.F_SETLK, &theirs); err != unix.EAGAIN {
			t.Errorf("%s a stock client gets the lock: %v", when, err)
		}
	}
	refused("before")

	perFile := func() (n int) {
		for _, c := range []relay.Call{relay.Open, relay.Create, relay.Release, relay.Flush, relay.Fsync, relay.Lk, relay.Lookup, relay.Fgetxattr, relay.Fsetxattr, relay.Fstat, relay.Stat} {
			n += gate.Calls(relay.ToServer, c)
		}
		return n
	}
	for i := range 4 {
		stack := []layer{writeBehind}[:(i+1)%2]
		ok(t, os.WriteFile(vol, []byte(text(stack...)), 0o644))
		before := perFile()
		m.Reload(vol) // if the change has not been seen by itself
		m.WaitStatus(30*time.Second, "all files moved", func(s mnt.Status) bool {
			return s.Switch.Count == uint64(i)+1 && s.Graphs.Live == 1 && s.Files.Pending == 0
		})
		if n := perFile() - before; n > 10 {
			t.Errorf("a switch with %d open files sent %d calls:\n%s", files, n, gate.Table())
		}
		refused("after a switch")
		for i, f := range open {
			b := make([]byte, 4096)
			if n, _ := f.ReadAt(b, 0); string(b[:n]) != f.Name() {
				t.Fatalf("file %d has %q", i, b[:n])
			}
		}
	}
	d := sessions(t, m)[0]
	if d.Adopted < 4*files || d.Sessions != 1 || d.Reopened != 0 || d.Open != files {
		t.Errorf("the session: %+v", d)
	}
	for _, f := range open {
		ok(t, f.Close())
	}
	v.Bricks[0].WaitOpenFiles(1) // the stock client's
}

// TestWaitForALockSurvivesSwitches: it keeps its place, is not granted early, and
// is granted once.
func TestWaitForALockSurvivesSwitches(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	text := func(layers ...layer) string { return volfile(l.Host, v.Bricks[0], "", layers...) }
	vol := writeVolfile(t, text())
	m := mnt.Mount(t, vol)
	stock := l.MountStock(v)
	theirs, err := os.OpenFile(filepath.Join(stock.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { theirs.Close() })
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 10}
	held := lock
	ok(t, unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &held))
	ours, err := os.OpenFile(filepath.Join(m.Dir, "f"), os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { ours.Close() })
	got := make(chan error, 1)
	go func() {
		mine := lock
		got <- unix.FcntlFlock(ours.Fd(), unix.F_SETLKW, &mine)
	}()
	waiting := func() bool { return sessions(t, m)[0].LocksWaiting == 1 }
	for end := time.Now().Add(10 * time.Second); !waiting() && time.Now().Before(end); {
	}
	for i := range 3 {
		ok(t, os.WriteFile(vol, []byte(text([]layer{writeBehind}[:(i+1)%2]...)), 0o644))
		m.Reload(vol)
		select {
		case err := <-got:
			t.Fatalf("switch %d ended the wait: %v", i, err)
		default:
		}
		if !waiting() {
			t.Fatal("there is not one wait on the brick")
		}
	}
	held.Type = unix.F_UNLCK
	ok(t, unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &held))
	select {
	case err := <-got:
		ok(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the lock was not granted")
	}
	held.Type = unix.F_WRLCK
	if err := unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &held); err != unix.EAGAIN {
		t.Errorf("the other client gets what was granted: %v", err)
	}
	if s := m.Status(); s.Locks.Held != 1 {
		t.Errorf("%+v", s.Locks)
	}
}

// TestRefusedMountsSayWhatToDo.
func TestRefusedMountsSayWhatToDo(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	refused := func(text string, says ...string) {
		t.Helper()
		_, err := mnt.TryMount(t, writeVolfile(t, text))
		if err == nil {
			t.Errorf("mounted:\n%s", text)
			return
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v\ndoes not say %q", err, s)
			}
		}
	}
	good := volfile(l.Host, v.Bricks[0], "")
	refused(strings.Replace(good, v.Bricks[0].Path, "/bricks/nothing", 1), "gluster volume start")
	refused(strings.Replace(good, l.Host, "127.1.2.3", 1), "glusterd", "24007")
	refused(volfile(l.Host, v.Bricks[0], fmt.Sprintf("    option remote-port %d\n", v.Bricks[0].Port()+1)), "refused")
	refused(volfile(l.Host, v.Bricks[0], "    option transport.socket.ssl-enabled on\n"), "TLS")
	refused(volfile(l.Host, v.Bricks[0], "    option transport-type rdma\n"), "rdma")
	refused(volfile(l.Host, v.Bricks[0], "    option volume-id 11111111-2222-4333-8444-555555555555\n"), "belongs to volume")
	wrong := strings.Replace(volfile(l.Host, v.Bricks[0], fmt.Sprintf("    option remote-port %d\n", v.Bricks[0].Port())), "remote-subvolume "+v.Bricks[0].Path, "remote-subvolume /elsewhere", 1)
	refused(wrong, "no brick /elsewhere", "gluster volume info")
	v.Set("auth.reject", "*")
	refused(good, "auth.allow")
	v.Reset("auth.reject")
	v.Stop()
	refused(good, "gluster volume start")
}
