package errorgen

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// counts is a child that counts what reaches it.
type counts struct {
	xlator.Fops
	n int
}

func (c *counts) Stat(context.Context, *xlator.StatReq) (*xlator.AttrRep, error) {
	c.n++
	return &xlator.AttrRep{}, nil
}

func (c *counts) Access(context.Context, *xlator.AccessReq) (*xlator.Empty, error) {
	c.n++
	return &xlator.Empty{}, nil
}

func (c *counts) Release(*xlator.FD) { c.n++ }

func build(t *testing.T, opts map[string]string) (*translator, *counts) {
	c := &counts{}
	return xlatortest.NewWorld(t, nil).Add(Type(), opts, c).(*translator), c
}

// pattern makes n STATs and draws the failed ones as x.
func pattern(t *testing.T, x xlator.Fops, n int, want syscall.Errno) string {
	t.Helper()
	var b strings.Builder
	for range n {
		_, err := x.Stat(xlator.Internal(), &xlator.StatReq{})
		switch {
		case err == nil:
			b.WriteByte('.')
		case errors.Is(err, want):
			b.WriteByte('x')
		default:
			t.Fatalf("failed with %v", err)
		}
	}
	return b.String()
}

func TestWhichCallsFail(t *testing.T) {
	for _, c := range []struct {
		name string
		opts map[string]string
		want string
	}{
		{"default", nil, ".........x.........x"},
		{"none", map[string]string{"failure": "0"}, "...................."},
		{"all", map[string]string{"failure": "100%"}, "xxxxxxxxxxxxxxxxxxxx"},
		{"fraction", map[string]string{"failure": "12.5"}, ".......x.......x...."},
		{"count", map[string]string{"failure": "100", "count": "3"}, "xxx................."},
		{"after", map[string]string{"failure": "100", "after": "18"}, "..................xx"},
		{"after and count", map[string]string{"failure": "50", "after": "4", "count": "2"}, ".....x.x............"},
		{"other fop", map[string]string{"failure": "100", "enable": "write,lookup"}, "...................."},
		{"this fop", map[string]string{"failure": "50", "enable": "write,stat"}, ".x.x.x.x.x.x.x.x.x.x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, leaf := build(t, c.opts)
			if got := pattern(t, x, len(c.want), syscall.EIO); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if want := strings.Count(c.want, "."); leaf.n != want {
				t.Errorf("%d calls reached the child, want %d", leaf.n, want)
			}
		})
	}
}

func TestRandomFailureHasTheRightShare(t *testing.T) {
	x, _ := build(t, map[string]string{"failure": "25", "random-failure": "on"})
	n := strings.Count(pattern(t, x, 10000, syscall.EIO), "x")
	if n < 2100 || n > 2900 { // nine standard deviations
		t.Errorf("%d of 10000 failed", n)
	}
}

func TestErrnoByNameOrNumber(t *testing.T) {
	for text, want := range map[string]syscall.Errno{"ENOSPC": syscall.ENOSPC, "enospc": syscall.ENOSPC, "28": syscall.ENOSPC, "ENOTCONN": syscall.ENOTCONN} {
		x, _ := build(t, map[string]string{"failure": "100", "error-no": text})
		pattern(t, x, 1, want)
	}
}

func TestOnlyTheFileThatWasNamed(t *testing.T) {
	w := xlatortest.NewWorld(t, nil)
	a, b := w.Inodes.Get(xlator.NewGFID(), xlator.TypeRegular), w.Inodes.Get(xlator.NewGFID(), xlator.TypeRegular)
	x := w.Add(Type(), map[string]string{"failure": "100", "gfid": a.GFID().String()}, &counts{})
	if _, err := x.Stat(xlator.Internal(), &xlator.StatReq{Inode: b}); err != nil {
		t.Errorf("the other: %v", err)
	}
	if _, err := x.Stat(xlator.Internal(), &xlator.StatReq{Inode: a}); !errors.Is(err, syscall.EIO) {
		t.Errorf("the one: %v", err)
	}
}

func TestReleaseIsNeverRefused(t *testing.T) {
	x, leaf := build(t, map[string]string{"failure": "100"})
	x.Release(nil)
	if leaf.n != 1 {
		t.Error("the child was not told")
	}
}

func TestReconfigureCountsAnew(t *testing.T) {
	opts := map[string]string{"failure": "100", "count": "1"}
	x, _ := build(t, opts)
	if got := pattern(t, x, 3, syscall.EIO); got != "x.." {
		t.Error(got)
	}
	v, err := Type().Defaults()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"failure": "100", "count": "2", "error-no": "EDQUOT"} {
		o, _ := Type().FindOption(name)
		if v[name], err = o.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Reconfigure(v); err != nil {
		t.Fatal(err)
	}
	if got := pattern(t, x, 4, syscall.EDQUOT); got != "xx.." {
		t.Error(got)
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"failure": "101", "error-no": "EWHAT", "enable": "writ", "gfid": "1", "count": "-1", "after": "x", "random-failure": "maybe",
	} {
		o, ok := Type().FindOption(name)
		if !ok {
			t.Fatal(name)
		}
		if _, err := o.Parse(text); err == nil || !strings.Contains(err.Error(), "option "+name+": ") {
			t.Errorf("%s %s: %v", name, text, err)
		}
	}
}
