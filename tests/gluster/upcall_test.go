package gluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/lab/relay"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// cached is a volume with everything cached for long that can be, mounted here,
// through the gate, and by the stock client, which caches nothing.
func cached(t *testing.T, invalidation string, opts ...mnt.Option) (ours, theirs string, m *mnt.M, gate *relay.Gate) {
	t.Helper()
	l := lab.Start(t)
	v := l.Volume("one", lab.Set(
		"features.cache-invalidation", invalidation, "features.cache-invalidation-timeout", "600", "performance.cache-invalidation", invalidation,
		"performance.md-cache-timeout", "600", "performance.nl-cache", "on", "performance.io-cache", "on", "performance.cache-refresh-timeout", "60"))
	r := l.Relay()
	m = mnt.Mount(t, r.Source(v), append(opts, mnt.O("attribute-timeout=600", "entry-timeout=600", "negative-timeout=600"))...)
	return m.Dir, l.MountStock(v, lab.Args("--attribute-timeout=0", "--entry-timeout=0", "--negative-timeout=0")).Dir, m, r.Brick(v.Bricks[0])
}

// look is everything that can be seen below a directory, one line each, and of names
// that are looked for.
func look(dir string, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		path := filepath.Join(dir, name)
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); err != nil {
			fmt.Fprintf(&b, "%s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(&b, "%s: mode %o, owner %d, %d, ", name, s.Mode, s.Uid, s.Gid)
		switch s.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			value := make([]byte, 100)
			n, xerr := unix.Getxattr(path, "user.a", value)
			fmt.Fprintf(&b, "links %d, mtime %v, size %d, data %q %v, attribute %q %v", s.Nlink, s.Mtim, s.Size, data, err, value[:max(n, 0)], xerr)
		case unix.S_IFDIR:
			entries, err := os.ReadDir(path)
			for _, e := range entries {
				fmt.Fprintf(&b, "%s ", e.Name())
			}
			fmt.Fprint(&b, err)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// TestChangesByOthersAreSeenAtOnce although everything is kept for ten minutes: the
// brick tells of them, and that reaches the translators' caches and the kernel's.
func TestChangesByOthersAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	ours, theirs, m, _ := cached(t, "on")
	for i, c := range []struct {
		name   string
		change func(dir string) error
	}{
		{"data", func(dir string) error { return rewrite(filepath.Join(dir, "f"), "abcdef") }},
		{"longer", func(dir string) error { return rewrite(filepath.Join(dir, "f"), "0123456789") }},
		{"shorter", func(dir string) error { return os.Truncate(filepath.Join(dir, "f"), 2) }},
		{"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "f"), 0o600) }},
		{"owner", func(dir string) error { return os.Chown(filepath.Join(dir, "f"), 11, 12) }},
		{"times", func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "f"), time.Unix(1, 0), time.Unix(2, 0))
		}},
		{"attribute", func(dir string) error { return unix.Setxattr(filepath.Join(dir, "f"), "user.a", []byte("new"), 0) }},
		{"attribute removed", func(dir string) error { return unix.Removexattr(filepath.Join(dir, "f"), "user.a") }},
		{"made", func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o644) }},
		{"directory made", func(dir string) error { return os.Mkdir(filepath.Join(dir, "new"), 0o755) }},
		{"unlinked", func(dir string) error { return os.Remove(filepath.Join(dir, "f")) }},
		{"directory removed", func(dir string) error { return os.Remove(filepath.Join(dir, "d")) }},
		{"linked", func(dir string) error { return os.Link(filepath.Join(dir, "f"), filepath.Join(dir, "new")) }},
		{"renamed", func(dir string) error { return os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "new")) }},
		{"replaced", func(dir string) error { return os.Rename(filepath.Join(dir, "g"), filepath.Join(dir, "f")) }},
		{"moved away", func(dir string) error { return os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "d", "in")) }},
		{"directory renamed", func(dir string) error { return os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "new")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := fmt.Sprint("case", i)
			makeFew(t, filepath.Join(ours, sub))
			// Open, and with another name, so that nothing else makes the kernel ask.
			f, err := os.Open(filepath.Join(ours, sub, "f"))
			ok(t, err)
			defer f.Close()
			names := []string{"", "f", "g", "d", "d/in", "new"}
			see := func() string { return look(filepath.Join(ours, sub), names...) }
			for range 2 {
				see()
			}
			before := see()
			ok(t, c.change(filepath.Join(theirs, sub)))
			began := time.Now()
			want := look(filepath.Join(theirs, sub), names...)
			if want == before {
				t.Fatal("nothing has changed")
			}
			for see() != want {
				if time.Since(began) > 10*time.Second {
					t.Fatalf("seen here:\n%s\nby the stock client:\n%s\nbefore:\n%s", see(), want, before)
				}
			}
			t.Logf("seen after %v", time.Since(began))
		})
	}
	if d := sessions(t, m)[0]; d.Sessions != 1 {
		t.Errorf("the session: %+v", d)
	}
}

// TestChangesWhileTheBrickWasAwayAreSeen: nobody tells of those.
func TestChangesWhileTheBrickWasAwayAreSeen(t *testing.T) {
	t.Parallel()
	ours, theirs, m, gate := cached(t, "on")
	makeFew(t, filepath.Join(ours, "dir"))
	see := func() string { return look(filepath.Join(ours, "dir"), "", "f", "g", "d", "d/in", "new") }
	see()
	before := see()
	gate.Refuse()
	gate.Reset()
	in := func(name string) string { return filepath.Join(theirs, "dir", name) }
	ok(t, os.Rename(in("f"), in("d/in")))
	ok(t, os.Chmod(in("g"), 0o600))
	ok(t, rewrite(in("g"), "abcdef"))
	ok(t, os.WriteFile(in("new"), []byte("new"), 0o644))
	want := look(filepath.Join(theirs, "dir"), "", "f", "g", "d", "d/in", "new")
	if want == before {
		t.Fatal("nothing has changed")
	}
	ok(t, gate.Accept())
	eventually(t, 30*time.Second, "what was changed is seen", func() bool { return see() == want })
	if d := sessions(t, m)[0]; d.Sessions != 2 {
		t.Errorf("the session: %+v", d)
	}
}

// TestChangesAfterADeathAreSeen: the kernel has names that the process before has
// told it.
func TestChangesAfterADeathAreSeen(t *testing.T) {
	t.Parallel()
	ours, theirs, m, _ := cached(t, "on", mnt.Plain())
	keeper := m.Status().Keeper.PID
	see := func(dir string) string { return look(filepath.Join(ours, dir), "", "f", "g", "d", "d/in", "new") }
	for i := range 3 {
		dir := fmt.Sprint("dir", i)
		makeFew(t, filepath.Join(ours, dir))
		for range 3 {
			see(dir)
		}
		before := see(dir)
		ok(t, kill.AndWait(keeper))
		// The mount is not touched: the next process is to know without having been asked.
		eventually(t, 20*time.Second, "another process serves", func() bool { s, err := m.TryStatus(); return err == nil && s.Worker.Generation == uint64(i+2) })
		in := func(name string) string { return filepath.Join(theirs, dir, name) }
		ok(t, os.Rename(in("f"), in("d/in")))
		ok(t, os.Chmod(in("g"), 0o600))
		ok(t, rewrite(in("g"), "abcdef"))
		ok(t, os.WriteFile(in("new"), []byte("new"), 0o644))
		want := look(filepath.Join(theirs, dir), "", "f", "g", "d", "d/in", "new")
		if want == before {
			t.Fatal("nothing has changed")
		}
		eventually(t, 20*time.Second, "what was changed is seen", func() bool { return see(dir) == want })
	}
	if d := sessions(t, m)[0]; d.Session != 1 || d.Resumed != 1 {
		t.Errorf("the session: %+v", d)
	}
}

func makeFew(t *testing.T, dir string) {
	t.Helper()
	ok(t, os.Mkdir(dir, 0o755))
	ok(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	for _, name := range []string{"f", "g"} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte("012345"+name), 0o644))
		ok(t, unix.Setxattr(filepath.Join(dir, name), "user.a", []byte("old"), 0))
	}
	ok(t, os.Link(filepath.Join(dir, "f"), dir+"-f"))
}

func rewrite(path, data string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	return errors.Join(err, f.Close())
}

// TestWithoutInvalidationCachesAreBelieved: or the test above could not fail.
func TestWithoutInvalidationCachesAreBelieved(t *testing.T) {
	t.Parallel()
	ours, theirs, _, _ := cached(t, "off")
	makeFew(t, filepath.Join(ours, "dir"))
	see := func() (text string) {
		for _, name := range []string{"f", "g", "d", "d/in"} {
			s, err := os.Lstat(filepath.Join(ours, "dir", name))
			if text += fmt.Sprint(name, ": ", err); err == nil {
				text += fmt.Sprint(" ", s.Mode())
			}
			text += "\n"
		}
		return text
	}
	see()
	before := see()
	ok(t, os.Chmod(filepath.Join(theirs, "dir", "d"), 0o700))
	ok(t, os.Chmod(filepath.Join(theirs, "dir", "g"), 0o700))
	ok(t, os.Rename(filepath.Join(theirs, "dir", "f"), filepath.Join(theirs, "dir", "d", "in")))
	for range 5 {
		if now := see(); now != before {
			t.Errorf("seen here:\n%s\nbefore:\n%s", now, before)
		}
	}
}

// TestWorkerDiesWhileTheKernelIsTold: the kernel is told to drop a page that it is
// reading, and waits for it where nobody can be killed.
func TestWorkerDiesWhileTheKernelIsTold(t *testing.T) {
	t.Parallel()
	ours, theirs, m, gate := cached(t, "on", mnt.Plain())
	keeper := m.Status().Keeper.PID
	ok(t, os.WriteFile(filepath.Join(theirs, "f"), make([]byte, 1<<20), 0o644))
	f, err := os.Open(filepath.Join(ours, "f"))
	ok(t, err)
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 10), 0)
	ok(t, err)
	held := gate.Arm(t, relay.Fault{Call: relay.Readv, At: relay.BeforeRequest, Do: relay.Hold})
	defer held.Release()
	read := make(chan error, 1)
	go func() {
		_, err := f.ReadAt(make([]byte, 4096), 1<<19)
		read <- err
	}()
	held.Wait(t)
	told := gate.Calls(relay.ToClient, relay.Of(xdr.ProgramCallback, xdr.CallbackCacheInvalidation))
	ok(t, os.Chmod(filepath.Join(theirs, "f"), 0o600))
	ok(t, rewrite(filepath.Join(theirs, "f"), strings.Repeat("a", 1<<20)))
	gate.WaitCalls(t, relay.ToClient, relay.Of(xdr.ProgramCallback, xdr.CallbackCacheInvalidation), told+1)
	time.Sleep(200 * time.Millisecond) // it reaches the kernel; the test holds before that, too
	ok(t, kill.AndWait(keeper))
	select {
	case err := <-read:
		ok(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("the read is not answered")
	}
	if got, err := os.ReadFile(filepath.Join(ours, "f")); err != nil || string(got) != strings.Repeat("a", 1<<20) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
