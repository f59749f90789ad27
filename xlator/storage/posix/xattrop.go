package posix

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Xattrop implements xlator.Fops. It is the translators' own: internal
// attributes are what it is for, except the identities.
func (b *Brick) Xattrop(_ context.Context, r *xlator.XattropReq) (*xlator.XattrRep, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("xattrop", r.Inode.GFID(), "", err)
	}
	defer k.put()
	return xattrop("xattrop", o, k, r.Kind, r.Xattrs)
}

// Fxattrop implements xlator.Fops; see Xattrop.
func (b *Brick) Fxattrop(_ context.Context, r *xlator.FxattropReq) (*xlator.XattrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fxattrop", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return xattrop("fxattrop", d.obj, d.kfd, r.Kind, r.Xattrs)
}

func xattrop(op string, o *object, k *kfd, kind xlator.XattropKind, xs *xlator.Dict) (*xlator.XattrRep, error) {
	rep := &xlator.XattrRep{Xattrs: &xlator.Dict{}}
	o.xattrs.Lock()
	defer o.xattrs.Unlock()
	for _, x := range xs.Pairs() {
		switch x.Key {
		case xattrGFID, xattrVolume, xattrMark, xattrMdata:
			return nil, fail(op+" "+x.Key, o.gfid, "", unix.EPERM)
		}
		arg, _ := xs.Bytes(x.Key)
		answer, err := xattropOne(k, kind, x.Key, arg)
		if err != nil {
			return nil, fail(op+" "+x.Key, o.gfid, "", err)
		}
		if answer != nil {
			rep.Xattrs.SetBytes(x.Key, answer)
		}
	}
	return rep, nil
}

// xattropOne changes one attribute and returns its new value, or the old one
// of a get-and-set. What stays all zeros is not created.
func xattropOne(k *kfd, kind xlator.XattropKind, name string, arg []byte) ([]byte, error) {
	old, err := sized(func(b []byte) (int, error) { return k.getxattr(name, b) })
	missing := err == unix.ENODATA
	if err != nil && !missing {
		return nil, err
	}
	if kind == xlator.XattropGetAndSet {
		return old, k.setxattr(name, arg, 0)
	}
	now := make([]byte, max(len(arg), len(old)))
	copy(now, old)
	changed, err := combine(kind, now, arg)
	if err != nil || !changed {
		return now, err
	}
	return now, k.setxattr(name, now, 0)
}

// combine applies arg to the array of big-endian numbers in v.
func combine(kind xlator.XattropKind, v, arg []byte) (changed bool, err error) {
	width := 4
	if kind == xlator.XattropAddArray64 {
		width = 8
	}
	if kind > xlator.XattropAndArray || len(arg)%width != 0 {
		return false, unix.EINVAL
	}
	for i := 0; i < len(arg); i += width {
		if width == 8 {
			a := binary.BigEndian.Uint64(v[i:])
			n := a + binary.BigEndian.Uint64(arg[i:])
			binary.BigEndian.PutUint64(v[i:], n)
			changed = changed || n != a
			continue
		}
		a, b := binary.BigEndian.Uint32(v[i:]), binary.BigEndian.Uint32(arg[i:])
		n := a + b
		switch kind {
		case xlator.XattropOrArray:
			n = a | b
		case xlator.XattropAndArray:
			n = a & b
		}
		binary.BigEndian.PutUint32(v[i:], n)
		changed = changed || n != a
	}
	return changed, nil
}

// checksumLimit bounds what one Rchecksum reads.
const checksumLimit = 16 << 20

// Rchecksum implements xlator.Fops.
func (b *Brick) Rchecksum(_ context.Context, r *xlator.RchecksumReq) (*xlator.RchecksumRep, error) {
	d, err := b.descriptor(r.FD)
	if err == nil && (r.Len < 0 || r.Len > checksumLimit) {
		err = unix.EINVAL
	}
	if err != nil {
		return nil, fail("rchecksum", r.FD.Inode().GFID(), "", err)
	}
	rep, err := b.Readv(context.Background(), &xlator.ReadvReq{FD: r.FD, Size: r.Len, Offset: r.Offset})
	if err != nil {
		return nil, fail("rchecksum", d.obj.gfid, "", err)
	}
	strong := sha256.Sum256(rep.Data)
	return &xlator.RchecksumRep{Weak: weakSum(rep.Data), Strong: strong[:]}, nil
}

// weakSum is the rolling checksum of the rsync report (Tridgell and Mackerras,
// 1996): 0 for zeros.
func weakSum(b []byte) uint32 {
	var s1, s2 uint32
	for _, c := range b {
		s1 += uint32(int32(int8(c)))
		s2 += s1
	}
	return s1&0xffff | s2<<16
}
