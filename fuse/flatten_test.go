package fuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestErrorsBecomeWhatTheKernelTakes(t *testing.T) {
	s := &Session{log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{fmt.Errorf("open gfid 1: %w", syscall.EACCES), syscall.EACCES},
		{errors.New("no errno in it"), syscall.EIO},
		{syscall.ENOSYS, syscall.EOPNOTSUPP}, // else it is off for the life of the mount
		{syscall.EINTR, syscall.EIO},         // nobody interrupted it
		{syscall.Errno(512), syscall.EIO},    // the kernel would refuse the reply
		{syscall.Errno(0), syscall.EIO},
		{fmt.Errorf("wait: %w", context.Canceled), syscall.EIO},
	} {
		r := &request{s: s}
		if got := r.fail(c.err); got != gofuse.Status(c.want) {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
	r := &request{s: s}
	r.call.Interrupt()
	if got := r.fail(r.call.Err()); got != gofuse.EINTR {
		t.Errorf("an interrupted wait is %v", got)
	}
}

func TestComplaintsAreFew(t *testing.T) {
	var out bytes.Buffer
	s := &Session{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 1000 {
		r := &request{s: s, op: opRead}
		r.fail(errors.New("the disk is gone"))
		r.fail(syscall.ENOENT)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines:\n%.500s", n, out.String())
	}
	var c complaints
	k, now := complaint{opRead, syscall.EIO}, time.Unix(0, 0)
	c.admit(k, now)
	c.admit(k, now.Add(time.Second))
	if silent, ok := c.admit(k, now.Add(time.Minute)); !ok || silent != 1 {
		t.Fatalf("later: %d, %v", silent, ok)
	}
}

func TestXattrSizes(t *testing.T) {
	v := []byte("value")
	for _, c := range []struct {
		dest, limit, n int
		err            error
	}{
		{0, 100, 5, nil}, {5, 100, 5, nil}, {9, 100, 5, nil}, {4, 100, 0, syscall.ERANGE}, {100, 4, 0, syscall.E2BIG},
	} {
		dest := make([]byte, c.dest)
		if n, err := deliver(dest, v, c.limit); n != c.n || err != c.err {
			t.Errorf("into %d of %d: %d, %v", c.dest, c.limit, n, err)
		}
	}
}

func TestLockRanges(t *testing.T) {
	in := func(start, end uint64, typ uint32, flags uint32) *gofuse.LkIn {
		return &gofuse.LkIn{Lk: gofuse.FileLock{Start: start, End: end, Typ: typ}, LkFlags: flags, Owner: 7}
	}
	l, err := lockOf(in(3, 1<<63-1, unix.F_WRLCK, gofuse.LK_FLOCK))
	if err != nil || l != (xlator.Lock{Type: unix.F_WRLCK, Start: 3, End: 1<<63 - 1, Owner: 7, Flock: true}) {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []*gofuse.LkIn{in(5, 4, unix.F_RDLCK, 0), in(1<<63, 1<<63, unix.F_RDLCK, 0), in(0, 1, 99, 0)} {
		if _, err := lockOf(bad); err != syscall.EINVAL {
			t.Errorf("%+v: %v", bad.Lk, err)
		}
	}
}

func TestSetattrMasks(t *testing.T) {
	in := func(valid uint32) *gofuse.SetAttrIn {
		return &gofuse.SetAttrIn{SetAttrInCommon: gofuse.SetAttrInCommon{Valid: valid, Mode: 0o104755}}
	}
	for valid, want := range map[uint32]xlator.SetattrMask{
		gofuse.FATTR_MODE: xlator.SetMode,
		gofuse.FATTR_UID | gofuse.FATTR_GID | gofuse.FATTR_KILL_SUIDGID: xlator.SetUID | xlator.SetGID | xlator.SetKillPriv,
		gofuse.FATTR_SIZE | gofuse.FATTR_KILL_SUIDGID:                   0, // the truncate does it
		gofuse.FATTR_ATIME | gofuse.FATTR_ATIME_NOW:                     xlator.SetAtimeNow,
		gofuse.FATTR_ATIME | gofuse.FATTR_MTIME:                         xlator.SetAtime | xlator.SetMtime,
		gofuse.FATTR_MTIME | gofuse.FATTR_MTIME_NOW | gofuse.FATTR_FH:   xlator.SetMtimeNow,
		gofuse.FATTR_CTIME: xlator.SetCtime,
	} {
		s := setattrOf(in(valid))
		if s.Mask != want || s.Mode != 0o4755 {
			t.Errorf("%#x: mask %#x, want %#x; mode %#o", valid, s.Mask, want, s.Mode)
		}
	}
}

func TestMountinfoPaths(t *testing.T) {
	if got := unescape(`/a\040b\134c\11`); got != `/a b\c\11` {
		t.Errorf("%q", got)
	}
}

func TestOpcodesHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for op, name := range opNames {
		if name != "" && seen[name] {
			t.Errorf("%s twice (%d)", name, op)
		}
		seen[name] = true
	}
}
