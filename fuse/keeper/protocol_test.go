package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is a connection with both ends in this process.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := dup(int(far.Fd()))
	far.Close()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = NewConn(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// file is a descriptor of a new file with that content.
func file(t *testing.T, text string) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func content(t *testing.T, fd int) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

// TestManyDescriptorsGoWithOneMessage: more than the kernel takes at once.
func TestManyDescriptorsGoWithOneMessage(t *testing.T) {
	a, b := pair(t)
	s := NewStore()
	defer s.Close()
	for i := range 2*maxFDs + 7 {
		s.Put(fmt.Sprint(i), file(t, fmt.Sprint("content ", i)))
	}
	sent := make(chan error, 1)
	go func() { sent <- s.SendAll(a, Message{Kind: Go, Program: "p"}) }()
	m, fds, err := b.Receive()
	if err != nil || m.Kind != Go || m.Program != "p" || len(m.Names) != 2*maxFDs+7 || len(fds) != len(m.Names) {
		t.Fatalf("%s, %d names, %d descriptors, %v", m.Kind, len(m.Names), len(fds), err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for i, n := range m.Names {
		if got := content(t, fds[i]); got != "content "+n {
			t.Fatalf("%s is %q", n, got)
		}
		if flags, err := unix.FcntlInt(uintptr(fds[i]), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Fatalf("%s is not closed on exec", n)
		}
	}
	closeAll(fds)
}

func TestTheEndOfThePeerIsSeen(t *testing.T) {
	a, b := pair(t)
	if err := a.Send(Message{Kind: Ready}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if m, _, err := b.Receive(); err != nil || m.Kind != Ready {
		t.Errorf("%+v %v", m, err)
	}
	if _, _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if err := b.Send(Message{Kind: OK}); err == nil {
		t.Error("sent to nobody")
	}
}

func TestWhatCannotBeUnderstoodIsAnError(t *testing.T) {
	before := openDescriptors(t)
	for _, text := range []string{"rubbish", `{"kind":1}`, `{"kind":"keep","names":["a","b"]}`, `{"kind":"keep"}`, strings.Repeat("x", maxMessage+1)} {
		a, b := pair(t)
		f := file(t, "")
		if _, _, err := a.c.WriteMsgUnix([]byte(text), unix.UnixRights(f), nil); err != nil {
			t.Fatal(err)
		}
		unix.Close(f)
		if m, fds, err := b.Receive(); err == nil || errors.Is(err, io.EOF) || fds != nil {
			t.Errorf("%.20q: %+v %v %v", text, m, fds, err)
		}
		a.Close()
		b.Close()
	}
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	a, _ := pair(t)
	if err := a.Send(Message{Kind: End, Error: strings.Repeat("x", maxMessage)}); err == nil {
		t.Error("a message that is too long was sent")
	}
}

func TestStoreOwnsItsDescriptors(t *testing.T) {
	before := openDescriptors(t)
	s := NewStore()
	s.Put("a", file(t, "first"))
	s.Put("a", file(t, "second"))
	if err := s.PutCopy("b", mustGet(t, s, "a")); err != nil {
		t.Fatal(err)
	}
	s.Drop("a")
	c, ok, err := s.Copy("b")
	if err != nil || !ok || content(t, c) != "second" {
		t.Errorf("%t %v", ok, err)
	}
	unix.Close(c)
	if _, ok, err := s.Copy("a"); ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	if got := s.names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%q", got)
	}
	s.Close()
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func mustGet(t *testing.T, s *Store, name string) int {
	t.Helper()
	fd, ok := s.Get(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	return fd
}

func TestNamesAtTheServiceManager(t *testing.T) {
	for _, name := range []string{DeviceFD, keptFD + "brick:64769:12345", keptFD + "odd \n:-\x7f/" + strings.Repeat("é", 30)} {
		s := storedName("57", name)
		if strings.ContainsAny(s, ": \n\x7f") || len(s) > 255 {
			t.Errorf("%q is no name there", s)
		}
		if id, back, ok := parseStored(s); !ok || id != "57" || back != name {
			t.Errorf("%q comes back as %q of %q", name, back, id)
		}
	}
	for _, s := range []string{"", "connection", "mount-", "mount-7", "mount-7-!", ListenName} {
		if id, name, ok := parseStored(s); ok && name != "" {
			t.Errorf("%q is %q of %q", s, name, id)
		}
	}
}

// TestNothingKeptIsLostBetweenKeepers: what is kept while a new keeper comes is
// in the offer, or sent after it.
func TestNothingKeptIsLostBetweenKeepers(t *testing.T) {
	for range 50 {
		l := newLink(Message{Program: "p"})
		heard := make(chan struct{})
		go func() { defer close(heard); <-l.News() }()
		f := file(t, "kept")
		a, b := pair(t)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if err := l.Keep(fmt.Sprint(i), f); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := l.Adopt(a); err != nil {
				t.Error(err)
			}
		})
		o, err := Accept(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Send(Message{Kind: OK, Keeper: 7}); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { wg.Wait(); l.Ready(nil); close(done) }()
		for {
			m, fds, err := b.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == Ready {
				break
			}
			o.store.Put(keptFD+m.Name, fds[0])
			if err := b.Send(Message{Kind: OK}); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		<-heard
		if got := o.store.names(); len(got) != 4 || o.Program != "p" {
			t.Fatalf("the keeper has %q", got)
		}
		if pid, _ := l.Keeper(); pid != 7 {
			t.Errorf("keeper %d", pid)
		}
		o.Close()
		l.Close()
		unix.Close(f)
	}
}

// TestForgottenDescriptorsAreDropped: what an earlier worker kept stays for who
// asks for it, and goes with the keeper's copy if nobody does.
func TestForgottenDescriptorsAreDropped(t *testing.T) {
	l := newLink(Message{})
	for _, n := range []string{DeviceFD, keptFD + "asked for", keptFD + "kept anew", keptFD + "forgotten"} {
		l.store.Put(n, file(t, n))
	}
	a, b := pair(t)
	l.at = &attachment{conn: a, pid: 7}
	l.listen(l.at)
	var heard []string
	var keeper sync.WaitGroup
	keeper.Go(func() {
		for {
			m, fds, err := b.Receive()
			if err != nil {
				return
			}
			closeAll(fds)
			heard = append(heard, fmt.Sprint(m.Kind, " ", m.Name))
			if err := b.Send(Message{Kind: OK}); err != nil {
				t.Error(err)
			}
		}
	})
	fd, ok, err := l.Kept("asked for")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := l.Keep("kept anew", fd); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if got, err := l.DropForgotten(); err != nil || !slices.Equal(got, []string{"forgotten"}) {
		t.Errorf("%q, %v", got, err)
	}
	if got := l.store.names(); !slices.Equal(got, []string{DeviceFD, keptFD + "asked for", keptFD + "kept anew"}) {
		t.Errorf("left are %q", got)
	}
	if got, err := l.DropForgotten(); err != nil || len(got) != 0 {
		t.Errorf("again: %q, %v", got, err)
	}
	go func() { <-l.News() }()
	l.Close()
	keeper.Wait()
	if want := []string{"keep kept anew", "drop forgotten"}; !slices.Equal(heard, want) {
		t.Errorf("the keeper heard %q, want %q", heard, want)
	}
}
