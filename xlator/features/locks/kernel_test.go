package locks

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// kernelFile is one real file opened once for each owner: locks of open file
// descriptions exclude each other as those of processes do.
type kernelFile struct {
	files []*os.File // by owner, from 1
	id    string     // as in /proc/locks
}

func openKernelFile(t *testing.T, owners int) *kernelFile {
	t.Helper()
	k := &kernelFile{}
	path := filepath.Join(t.TempDir(), "file")
	for range owners {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		k.files = append(k.files, f)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(k.files[0].Fd()), &st); err != nil {
		t.Fatal(err)
	}
	k.id = procLocksID(&st)
	return k
}

// procLocksID is how /proc/locks names a file.
func procLocksID(st *unix.Stat_t) string {
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
}

func (k *kernelFile) fd(owner uint64) int { return int(k.files[owner-1].Fd()) }

// unlockAll begins afresh.
func (k *kernelFile) unlockAll(t *rapid.T) {
	for o := range k.files {
		lk := unix.Flock_t{Type: unix.F_UNLCK}
		if err := unix.FcntlFlock(k.files[o].Fd(), unix.F_OFD_SETLK, &lk); err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(k.files[o].Fd()), unix.LOCK_UN); err != nil {
			t.Fatal(err)
		}
	}
}

func kernelLock(c claim) unix.Flock_t {
	lk := unix.Flock_t{Type: [...]int16{unix.F_UNLCK, unix.F_RDLCK, unix.F_WRLCK}[c.mode], Start: c.start}
	if c.end != endOfFile {
		lk.Len = c.end - c.start + 1
	}
	return lk
}

// listed is the file's locks in /proc/locks as sorted "w 0-9"; it does not say
// whose they are.
func (k *kernelFile) listed(t *rapid.T, class string) (out []string) {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		// 1: OFDLCK ADVISORY  WRITE -1 fd:00:1234 0 9
		f := strings.Fields(line)
		if len(f) == 8 && f[1] == class && f[5] == k.id {
			out = append(out, strings.ToLower(f[3][:1])+" "+f[6]+"-"+strings.Replace(f[7], "EOF", "$", 1))
		}
	}
	slices.Sort(out)
	return out
}

// lists demands that the kernel has these locks. One reading of /proc/locks may
// miss some, or have some twice, while other processes lock and unlock.
func (k *kernelFile) lists(t *rapid.T, class string, want []string) {
	var got []string
	for range 100 {
		if got = k.listed(t, class); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("held: %q, kernel: %q", want, got)
}

// listedLocks is the same of the machine.
func listedLocks(m *machine, k spaceKey) (out []string) {
	if sp := m.spaces[k]; sp != nil {
		for c := range sp.held.all() {
			_, s, _ := strings.Cut(showClaim(c), ":")
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func TestRecordLocksAgreeWithTheKernel(t *testing.T) {
	const owners = 4
	kf := openKernelFile(t, owners)
	for range 10 {
		rapid.Check(t, func(t *rapid.T) {
			kf.unlockAll(t)
			m, k := newMachine(), spaceKey{file: xlator.GFID{15: 1}, kind: recordLocks}
			t.Repeat(map[string]func(*rapid.T){
				"set": func(t *rapid.T) {
					c := drawClaim(t, owners, unlocked, shared, exclusive)
					compareSet(t, kf, m, k, c)
				},
				"get": func(t *rapid.T) {
					c := drawClaim(t, owners, shared, exclusive)
					compareGet(t, kf, m, k, c)
				},
				"": func(t *rapid.T) {
					kf.lists(t, "OFDLCK", listedLocks(m, k))
				},
			})
		})
	}
}

// drawClaim prefers small offsets and, rarely, takes those near 2^63.
func drawClaim(t *rapid.T, owners uint64, ms ...mode) claim {
	offset := rapid.OneOf(rapid.Int64Range(0, 15), rapid.Int64Range(0, 15), rapid.Int64Range(endOfFile-3, endOfFile))
	a, b := offset.Draw(t, "a"), offset.Draw(t, "b")
	c := claim{start: min(a, b), end: max(a, b)}
	c.owner = rapid.Uint64Range(1, owners).Draw(t, "owner")
	c.mode = rapid.SampledFrom(ms).Draw(t, "mode")
	return c
}

func compareSet(t *rapid.T, kf *kernelFile, m *machine, k spaceKey, c claim) {
	lk := kernelLock(c)
	err := unix.FcntlFlock(uintptr(kf.fd(c.owner)), unix.F_OFD_SETLK, &lk)
	var errno syscall.Errno
	if c.mode == unlocked {
		m.unlock(k, c)
	} else {
		errno = m.request(k, c, false, 0).errno
	}
	if want, _ := errors.AsType[syscall.Errno](err); errno != want {
		t.Fatalf("set %s: %v, kernel: %v", showClaim(c), errno, err)
	}
	if err := m.check(); err != nil {
		t.Fatal(err)
	}
}

// compareGet checks that both find a lock or both none, and that the kernel's
// (the first in its own order of owners) is the first of some owner here.
func compareGet(t *rapid.T, kf *kernelFile, m *machine, k spaceKey, c claim) {
	lk := kernelLock(c)
	if err := unix.FcntlFlock(uintptr(kf.fd(c.owner)), unix.F_OFD_GETLK, &lk); err != nil {
		t.Fatal(err)
	}
	by, blocked := m.blocker(k, c)
	if blocked != (lk.Type != unix.F_UNLCK) {
		t.Fatalf("get %s: %s, kernel: %+v", showClaim(c), showClaim(by), lk)
	}
	if !blocked {
		return
	}
	r := &m.spaces[k].records
	for i := range r.by {
		if s, ok := r.by[i].first(c); ok && kernelLock(s.claim(0)) == (unix.Flock_t{Type: lk.Type, Start: lk.Start, Len: lk.Len}) {
			return
		}
	}
	t.Fatalf("get %s: kernel has %+v, which is nobody's first in %s", showClaim(c), lk, show(r))
}

func TestFlockAgreesWithTheKernel(t *testing.T) {
	const owners = 4
	kf := openKernelFile(t, owners)
	for range 10 {
		rapid.Check(t, func(t *rapid.T) {
			kf.unlockAll(t)
			m, k := newMachine(), spaceKey{file: xlator.GFID{15: 1}, kind: flocks}
			t.Repeat(map[string]func(*rapid.T){
				"set": func(t *rapid.T) {
					c := drawClaim(t, owners, unlocked, shared, exclusive)
					c.start, c.end = 0, endOfFile
					how := [...]int{unix.LOCK_UN, unix.LOCK_SH | unix.LOCK_NB, unix.LOCK_EX | unix.LOCK_NB}[c.mode]
					err := unix.Flock(kf.fd(c.owner), how)
					var errno syscall.Errno
					if c.mode == unlocked {
						m.unlock(k, c)
					} else {
						errno = m.request(k, c, false, 0).errno
					}
					if want, _ := errors.AsType[syscall.Errno](err); errno != want {
						t.Fatalf("flock %s: %v, kernel: %v", showClaim(c), errno, err)
					}
				},
				"": func(t *rapid.T) {
					kf.lists(t, "FLOCK", listedLocks(m, k))
				},
			})
		})
	}
}

// FuzzRecords reads four bytes as a request and compares with a model of one
// word per owner and mode, a bit for each byte of the file.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{1, 2, 0, 9, 0, 1, 1, 4, 5, 0, 2, 2, 4, 4, 0})
	f.Add([]byte{1, 2, 0, 63, 0, 1, 0, 10, 20, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		var r records
		words := map[uint64]*[3]uint64{} // by owner: which of 64 bytes are in which mode
		for ; len(in) >= 4; in = in[4:] {
			c := claim{owner: uint64(in[0] % 8), mode: mode(in[1] % 3), start: int64(in[2] % 64)}
			c.end = max(c.start, int64(in[3]%64))
			mask := (^uint64(0) >> (63 - c.end)) &^ (1<<c.start - 1)
			w := words[c.owner]
			if w == nil {
				w = &[3]uint64{}
				words[c.owner] = w
			}
			for m := range w {
				w[m] &^= mask
			}
			w[c.mode] |= mask
			r.set(c)
			if err := r.check(); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for c := range r.all() {
			mask := (^uint64(0) >> (63 - c.end)) &^ (1<<c.start - 1)
			if words[c.owner][c.mode]&mask != mask {
				t.Fatalf("%s is too much", showClaim(c))
			}
			total += bits.OnesCount64(mask)
		}
		for _, w := range words {
			total -= bits.OnesCount64(w[shared]) + bits.OnesCount64(w[exclusive])
		}
		if total != 0 {
			t.Fatalf("%d bytes are missing in %s", -total, show(&r))
		}
	})
}
