package fuse_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadBesideAWriteOnItsWaySeesIt: a page that was written and is on its way is
// dropped, because the file is opened, and read again. What the kernel gets then it
// shows after the write has returned, for as long as there is another on its way: it
// does not look at attributes meanwhile.
func TestReadBesideAWriteOnItsWaySeesIt(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := mount(t, layers("features/locks", "debug/delay-gen enable=writev gate="+gate, "debug/io-stats"), nil)
	name := w.path("f")
	check(t, os.WriteFile(name, make([]byte, 1000), 0o644))
	log, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	defer log.Close()
	open := func() *os.File {
		t.Helper()
		f, err := os.Open(name)
		check(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	inFlight := func(n int) func() bool { return func() bool { return w.stats().Session.InFlight == n } }
	wrote := make(chan error, 1)
	write := func(text string) {
		t.Helper()
		check(t, os.WriteFile(gate, nil, 0o644))
		go func() {
			_, err := unix.Write(int(log.Fd()), []byte(text))
			wrote <- err
		}()
		w.await("the write", inFlight(1))
	}
	reader := open()
	_, err = reader.ReadAt(make([]byte, 1000), 0)
	check(t, err)
	write("appended")
	again := open() // drops the page
	read := make(chan error, 1)
	go func() {
		_, err := again.ReadAt(make([]byte, 1000), 0)
		read <- err
	}()
	w.await("the read", func() bool { return len(read) == 1 || inFlight(2)() })
	check(t, os.Remove(gate))
	check(t, <-wrote)
	check(t, <-read)
	write("and more")
	got := make([]byte, 8)
	_, err = reader.ReadAt(got, 1000)
	check(t, err)
	if string(got) != "appended" {
		t.Errorf("read %q after the write had returned", got)
	}
	check(t, os.Remove(gate))
	check(t, <-wrote)
}
