package mdcache

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

const (
	capability = "security.capability"
	listed     = "user.listed"
)

var xattrOpts = map[string]string{"md-cache-timeout": "600", "xattr-cache-list": listed + ", user.pre.*"}

// xattrCached asks for an attribute, twice, and says whether the second answer
// came from memory. The value is "" without one.
func (w *world) xattrCached(i *xlator.Inode, name string) (value string, cached bool) {
	w.T().Helper()
	one := w.getxattr(i, name)
	n := w.asked(xlator.FopGetxattr, func() {
		if two := w.getxattr(i, name); two != one {
			w.T().Errorf("%s: %q, then %q", name, one, two)
		}
	})
	return one, n == 0
}

func (w *world) getxattr(i *xlator.Inode, name string) string {
	w.T().Helper()
	rep, err := w.X.Getxattr(xlator.Internal(), &xlator.GetxattrReq{Inode: i, Name: name})
	if xlator.Errno(err) == unix.ENODATA {
		return ""
	}
	w.Must(err)
	v, ok := rep.Xattrs.Bytes(name)
	if !ok || rep.Xattrs.Len() != 1 {
		w.T().Errorf("%s: %v", name, rep.Xattrs.Pairs())
	}
	return string(v)
}

func (w *world) setxattr(i *xlator.Inode, name, value string) {
	w.T().Helper()
	xs := &xlator.Dict{}
	xs.SetBytes(name, []byte(value))
	w.Must(justErr(w.X.Setxattr(xlator.Internal(), &xlator.SetxattrReq{Inode: i, Xattrs: xs})))
}

func TestOnlyChosenXattrsAreKept(t *testing.T) {
	w := build(t, xattrOpts)
	i := w.create("f").Inode()
	for name, keep := range map[string]bool{
		capability: true, "security.ima": true, listed: true, "user.pre.fix": true,
		"user.other": false, "system.posix_acl_access": false, "user.pre": false, "security.selinux": false,
	} {
		for _, value := range []string{"", "value"} {
			if value != "" && name[:5] == "user." {
				w.setxattr(i, name, value)
			}
			if _, cached := w.xattrCached(i, name); cached != keep {
				t.Errorf("%s: kept: %v", name, cached)
			}
		}
	}
	w.Reconfigure(map[string]string{"cache-posix-acl": "on", "cache-capability-xattrs": "off"})
	for name, keep := range map[string]bool{capability: false, listed: false, "system.posix_acl_access": true} {
		if _, cached := w.xattrCached(i, name); cached != keep {
			t.Errorf("with other options: %s: kept: %v", name, cached)
		}
	}
}

func TestXattrIsKeptUntilItMayHaveChanged(t *testing.T) {
	w := build(t, xattrOpts)
	fd := w.create("f")
	i, ctx := fd.Inode(), xlator.Internal()
	now := func(want string) {
		t.Helper()
		if got := w.getxattr(i, listed); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	now("")
	w.setxattr(i, listed, "1")
	now("1")
	w.setxattr(i, listed, "2")
	now("2")
	xs := &xlator.Dict{}
	xs.SetBytes(listed, []byte("3"))
	w.Must(justErr(w.X.Fsetxattr(ctx, &xlator.FsetxattrReq{FD: fd, Xattrs: xs})))
	now("3")
	w.Must(justErr(w.X.Removexattr(ctx, &xlator.RemovexattrReq{Inode: i, Name: listed})))
	now("")
	w.setxattr(i, listed, "4")
	w.Must(justErr(w.X.Fremovexattr(ctx, &xlator.FremovexattrReq{FD: fd, Name: listed})))
	now("")

	w.Pass(time.Hour)
	if n := w.asked(xlator.FopGetxattr, func() { now("") }); n != 1 {
		t.Error("answered after the timeout")
	}
	w.Phase.Set(xlator.PhaseDraining)
	if _, cached := w.xattrCached(i, listed); cached {
		t.Error("answered while draining")
	}
	w.Phase.Set(xlator.PhaseServing)
	if n := w.asked(xlator.FopGetxattr, func() { now("") }); n != 1 {
		t.Error("answered from before the drain")
	}
}

// A write takes a capability away, and adds none.
func TestWriteForgetsXattrsThatAreThere(t *testing.T) {
	w := build(t, xattrOpts)
	fd := w.create("f")
	i := fd.Inode()
	write := func() {
		w.Must(justErr(w.X.Writev(xlator.Internal(), &xlator.WritevReq{FD: fd, KillPriv: true, Payload: xlator.Payload{Bytes: []byte("x")}})))
	}
	w.getxattr(i, capability)
	write()
	if n := w.asked(xlator.FopGetxattr, func() { w.getxattr(i, capability) }); n != 0 {
		t.Error("what was not there was asked for again after a write")
	}
	w.setxattr(i, capability, string(vfsCap))
	if v, cached := w.xattrCached(i, capability); !cached || v != string(vfsCap) {
		t.Fatalf("%q, kept: %v", v, cached)
	}
	write()
	if v := w.getxattr(i, capability); v != "" {
		t.Errorf("still %q", v)
	}
}

// vfsCap is a file capability of revision 2: CAP_NET_RAW.
var vfsCap = []byte{0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func TestXattrFromBeforeAChangeIsNotKept(t *testing.T) {
	w := build(t, xattrOpts)
	i := w.create("f").Inode()
	g := w.P.Gate(xlator.FopGetxattr, true)
	w.setxattr(i, listed, "old")
	done := xlatortest.Async(func() { w.getxattr(i, listed) })
	g.Wait(t)
	w.setxattr(i, listed, "new")
	close(g.Open)
	xlatortest.Ended(w.T(), done)
	if v := w.getxattr(i, listed); v != "new" {
		t.Errorf("%q", v)
	}
}

// A listing says which attributes there are, and so which there are not; the
// trusted ones it shows to root only.
func TestListingIsLearnedFrom(t *testing.T) {
	w := build(t, map[string]string{"xattr-cache-list": listed + ",user.absent,trusted.t"})
	i := w.create("f").Inode()
	w.setxattr(i, listed, "1")
	w.Must(justErr(w.X.Getxattr(xlator.Internal(), &xlator.GetxattrReq{Inode: i})))
	n := w.asked(xlator.FopGetxattr, func() {
		if v := w.getxattr(i, listed); v != "1" {
			t.Errorf("%q", v)
		}
		if v := w.getxattr(i, "user.absent"); v != "" {
			t.Errorf("%q", v)
		}
	})
	if n != 0 {
		t.Errorf("the child was asked %d times", n)
	}
	if n := w.asked(xlator.FopGetxattr, func() { w.getxattr(i, "trusted.t") }); n != 1 {
		t.Error("something was learned of a trusted attribute")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, bad := range map[string]string{"xattr-cache-list": "user.*.x", "md-cache-timeout": "601", "cache-selinux": "perhaps"} {
		o, ok := Type().FindOption(name)
		if !ok {
			t.Fatalf("no option %s", name)
		}
		if _, err := o.Parse(bad); err == nil {
			t.Errorf("%s takes %q", name, bad)
		}
	}
}
