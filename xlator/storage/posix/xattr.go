package posix

import (
	"bytes"
	"context"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Virtual attributes: answered here, not on disk.
const (
	virtualGFID     = "glusterfs.gfid"
	virtualGFIDText = "glusterfs.gfid.string"
)

// internal reports whether an attribute is the brick's own business.
func internal(name string) bool {
	if !strings.HasPrefix(name, "trusted.") {
		return false
	}
	for _, p := range []string{xattrGFID, "trusted.glusterfs.", "trusted.gfid2path.", prefixAFR, "trusted.holdfast."} {
		if name == p || strings.HasSuffix(p, ".") && strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// changeable says whether an application may change an attribute.
func changeable(name string) error {
	switch {
	case internal(name):
		return unix.EPERM
	case name == xattrAccess, name == xattrDefault:
		return nil
	}
	for _, p := range []string{"user.", "trusted.", "security."} {
		if strings.HasPrefix(name, p) {
			return nil
		}
	}
	return unix.EOPNOTSUPP
}

// Getxattr implements xlator.Fops.
func (b *Brick) Getxattr(ctx context.Context, r *xlator.GetxattrReq) (*xlator.XattrRep, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("getxattr "+r.Name, r.Inode.GFID(), "", err)
	}
	defer k.put()
	return getxattr(ctx, o, k, r.Name)
}

// Fgetxattr implements xlator.Fops.
func (b *Brick) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fgetxattr "+r.Name, r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return getxattr(ctx, d.obj, d.kfd, r.Name)
}

func getxattr(ctx context.Context, o *object, k *kfd, name string) (*xlator.XattrRep, error) {
	rep := &xlator.XattrRep{Xattrs: &xlator.Dict{}}
	switch {
	case name == "":
		return rep, fail("listxattr", o.gfid, "", listxattr(ctx, k, rep.Xattrs))
	case name == virtualGFID:
		rep.Xattrs.SetBytes(name, o.gfid[:])
		return rep, nil
	case name == virtualGFIDText:
		rep.Xattrs.SetBytes(name, []byte(o.gfid.String()))
		return rep, nil
	case internal(name):
		return nil, fail("getxattr "+name, o.gfid, "", unix.ENODATA)
	}
	v, err := sized(func(b []byte) (int, error) { return k.getxattr(name, b) })
	if err != nil {
		return nil, fail("getxattr "+name, o.gfid, "", err)
	}
	rep.Xattrs.SetBytes(name, v)
	return rep, nil
}

// listxattr reads all attributes that the caller may know of: the trusted ones
// are root's.
func listxattr(ctx context.Context, k *kfd, into *xlator.Dict) error {
	names, err := sized(k.listxattr)
	if err != nil {
		return err
	}
	root := xlator.CallFrom(ctx).UID == 0
	for _, n := range bytes.Split(names, []byte{0}) {
		name := string(n)
		if name == "" || internal(name) || !root && strings.HasPrefix(name, "trusted.") {
			continue
		}
		v, err := sized(func(b []byte) (int, error) { return k.getxattr(name, b) })
		if err == unix.ENODATA {
			continue // removed meanwhile
		}
		if err != nil {
			return err
		}
		into.SetBytes(name, v)
	}
	return nil
}

// Setxattr implements xlator.Fops.
func (b *Brick) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("setxattr", r.Inode.GFID(), "", err)
	}
	defer k.put()
	return b.setxattr(xlator.CallFrom(ctx), "setxattr", o, k, r.Xattrs, r.Flags, r.KillSGID)
}

// Fsetxattr implements xlator.Fops.
func (b *Brick) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fsetxattr", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return b.setxattr(xlator.CallFrom(ctx), "fsetxattr", d.obj, d.kfd, r.Xattrs, r.Flags, r.KillSGID)
}

func (b *Brick) setxattr(c *xlator.Call, op string, o *object, k *kfd, xs *xlator.Dict, flags uint32, killSGID bool) (*xlator.Empty, error) {
	for _, x := range xs.Pairs() {
		if err := changeable(x.Key); err != nil {
			return nil, fail(op+" "+x.Key, o.gfid, "", err)
		}
	}
	if flags&unix.XATTR_CREATE != 0 && c.Journal != nil {
		before, again := intended(c, intentSetxattr)
		if again && before.A == o.gfid {
			flags &^= unix.XATTR_CREATE // some may be there since
		} else if err := intendCreate(c, o, k, xs); err != nil {
			return nil, fail(op, o.gfid, "", err)
		}
	}
	for _, x := range xs.Pairs() {
		v, _ := xs.Bytes(x.Key)
		if err := k.setxattr(x.Key, v, int(flags)); err != nil {
			return nil, fail(op+" "+x.Key, o.gfid, "", err)
		}
		if x.Key == xattrAccess && killSGID {
			if err := dropSGID(k); err != nil {
				return nil, fail(op+" "+x.Key, o.gfid, "", err)
			}
		}
	}
	b.rt.touch(o, k, stampCtime)
	return &xlator.Empty{}, nil
}

// intendCreate records that attributes are to be made which are not there yet.
func intendCreate(c *xlator.Call, o *object, k *kfd, xs *xlator.Dict) error {
	for _, x := range xs.Pairs() {
		if hasXattr(k, x.Key) {
			return unix.EEXIST
		}
	}
	c.Intend(xlator.Intent{Kind: intentSetxattr, A: o.gfid})
	return nil
}

func dropSGID(k *kfd) error {
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil || st.Mode&unix.S_ISGID == 0 {
		return err
	}
	return k.chmod(uint32(st.Mode) & 0o7777 &^ unix.S_ISGID)
}

// Removexattr implements xlator.Fops.
func (b *Brick) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("removexattr "+r.Name, r.Inode.GFID(), "", err)
	}
	defer k.put()
	return b.removexattr(xlator.CallFrom(ctx), o, k, r.Name)
}

// Fremovexattr implements xlator.Fops.
func (b *Brick) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fremovexattr "+r.Name, r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return b.removexattr(xlator.CallFrom(ctx), d.obj, d.kfd, r.Name)
}

func (b *Brick) removexattr(c *xlator.Call, o *object, k *kfd, name string) (*xlator.Empty, error) {
	err := changeable(name)
	if err == nil {
		before, again := intended(c, intentRemovexattr)
		if again = again && before.A == o.gfid; !again && c.Journal != nil && hasXattr(k, name) {
			c.Intend(xlator.Intent{Kind: intentRemovexattr, A: o.gfid})
		}
		if err = k.removexattr(name); err == unix.ENODATA && again {
			err = nil // an earlier process removed it
		}
	}
	if err != nil {
		return nil, fail("removexattr "+name, o.gfid, "", err)
	}
	b.rt.touch(o, k, stampCtime)
	return &xlator.Empty{}, nil
}
