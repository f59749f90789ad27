package xdr

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFlagsTravelAsX86Numbers(t *testing.T) {
	for _, c := range []struct{ host, wire uint32 }{
		{unix.O_RDONLY, 0o100000},
		{unix.O_WRONLY, 0o100001},
		{unix.O_RDWR | unix.O_APPEND | unix.O_TRUNC, 0o103002},
		{unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, 0o100302},
		{unix.O_DIRECT | unix.O_DIRECTORY | unix.O_NOFOLLOW, 0o740000},
		{unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_ASYNC, 0o124400},
		{unix.O_NOATIME | unix.O_CLOEXEC, 0o3100000},
		{unix.O_SYNC, 0o110000},
	} {
		if got := OpenFlags(c.host); got != c.wire {
			t.Errorf("%#o is %#o on the wire, want %#o", c.host, got, c.wire)
		}
		if got := HostOpenFlags(c.wire); got != c.host {
			t.Errorf("%#o is %#o here, want %#o", c.wire, got, c.host)
		}
	}
	if got := OpenFlags(unix.O_DSYNC); got != WireLargefile|WireSync {
		t.Errorf("O_DSYNC is %#o on the wire", got)
	}
	if got := OpenFlags(1 << 31); got != WireLargefile {
		t.Errorf("an unknown flag is %#o on the wire", got)
	}
}

func TestRdevIsMajorAndMinorWords(t *testing.T) {
	dev := unix.Mkdev(8, 3)
	if got := DevToRdev(dev); got != 8<<32|3 {
		t.Errorf("8:3 is %#x", got)
	}
	for _, dev := range []uint64{dev, 0, unix.Mkdev(0xfff, 0xfffff), unix.Mkdev(259, 70000)} {
		if got := RdevToDev(DevToRdev(dev)); got != dev {
			t.Errorf("%#x comes back as %#x", dev, got)
		}
	}
}

func TestResultIsAnErrorOnlyWhenNegative(t *testing.T) {
	for _, c := range []struct {
		v    Result
		want error
	}{
		{Result{0, 22}, nil},
		{Result{5, 2}, nil},
		{Result{-1, 2}, syscall.ENOENT},
		{Result{-1, 0}, syscall.EIO},
		{Result{-1, -7}, syscall.EIO},
		{Result{-2, 1 << 20}, syscall.EIO},
	} {
		if got := c.v.Err(); got != c.want {
			t.Errorf("%+v is %v, want %v", c.v, got, c.want)
		}
	}
}

func TestNumbersAreReadInEveryForm(t *testing.T) {
	v := Dict{
		DictInt("int", -5), DictUint("uint", 7), DictText("text", "12"), DictBytes("bytes", []byte("13\x00")),
		{Key: "old", Type: DictTypeOld, Data: []byte("-14")}, DictBytes("none", []byte("x")), DictGFID("gfid", root),
		DictDouble("double", 1), DictBytes("root", root[:]), DictText("max", "18446744073709551615"),
	}
	for key, want := range map[string]uint64{
		"int": ^uint64(4), "uint": 7, "text": 12, "bytes": 13, "old": ^uint64(13), "max": ^uint64(0),
	} {
		if got, ok := v.Uint(key); !ok || got != want {
			t.Errorf("%s is %d, %v", key, got, ok)
		}
	}
	for _, key := range []string{"none", "gfid", "double", "missing"} {
		if got, ok := v.Uint(key); ok {
			t.Errorf("%s is a number: %d", key, got)
		}
	}
	for key, want := range map[string]bool{"gfid": true, "root": true, "text": false, "missing": false} {
		if got, ok := v.GFID(key); ok != want || ok && got != root {
			t.Errorf("%s is gfid %x, %v", key, got, ok)
		}
	}
	if got, ok := v.Text("bytes"); !ok || got != "13" {
		t.Errorf("text is %q", got)
	}
	old := OldDict{OldInt("n", -3), OldText("t", "abc")}
	if n, ok := old.Int("n"); !ok || n != -3 {
		t.Errorf("n is %d", n)
	}
	if s, ok := old.Text("t"); !ok || s != "abc" {
		t.Errorf("t is %q", s)
	}
	if _, ok := old.Int("t"); ok {
		t.Error("abc is a number")
	}
}

func TestEveryFopHasItsNameAndMessages(t *testing.T) {
	if got := FopCopyFileRange.String() + FopStat.String() + Fop(49).String() + Fop(0).String() + Fop(1e6).String(); got !=
		"COPY_FILE_RANGESTATfop 49fop 0fop 1000000" {
		t.Error(got)
	}
	n := 0
	for f := range fopMax + 2 {
		if (NewRequest(f) == nil) != (NewReply(f) == nil) {
			t.Errorf("%s has a request or a reply only", f)
		}
		if NewRequest(f) != nil {
			n++
		}
	}
	if n != 55 {
		t.Errorf("%d fops, the wire facts have 55", n)
	}
}
