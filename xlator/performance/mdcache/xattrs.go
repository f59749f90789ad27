package mdcache

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// Getxattr implements xlator.Fops.
func (t *translator) Getxattr(ctx context.Context, r *xlator.GetxattrReq) (*xlator.XattrRep, error) {
	return t.getxattr(r.Inode, r.Name, func() (*xlator.XattrRep, error) { return t.Next.Getxattr(ctx, r) })
}

// Fgetxattr implements xlator.Fops.
func (t *translator) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	return t.getxattr(r.FD.Inode(), r.Name, func() (*xlator.XattrRep, error) { return t.Next.Fgetxattr(ctx, r) })
}

func (t *translator) getxattr(i *xlator.Inode, name string, fop func() (*xlator.XattrRep, error)) (*xlator.XattrRep, error) {
	s := t.settings.Load()
	if name == "" {
		return t.listxattr(i, s, fop)
	}
	if !s.keeps(name) {
		return fop()
	}
	if x, ok := t.findXattr(i, name); ok {
		if x.err != nil {
			return nil, x.err
		}
		return &xlator.XattrRep{Xattrs: x.dict}, nil
	}
	a, keep := t.ask()
	rep, err := fop()
	switch {
	case !keep:
	case err != nil && xlator.Errno(err) == syscall.ENODATA:
		t.keepXattr(i, name, xattr{asked: a, err: err})
	case err == nil && rep.Xattrs.Len() == 1 && rep.Xattrs.Has(name):
		t.keepXattr(i, name, xattr{asked: a, dict: rep.Xattrs})
	}
	return rep, err
}

// listxattr asks for all attributes, and learns which of those that are kept are
// there and which are not. The trusted ones are shown to root only, and a label of
// SELinux may be there without being listed: nothing is learned of those.
func (t *translator) listxattr(i *xlator.Inode, s *settings, fop func() (*xlator.XattrRep, error)) (*xlator.XattrRep, error) {
	a, keep := t.ask()
	rep, err := fop()
	if err != nil || !keep {
		return rep, err
	}
	for name, on := range s.names {
		if !on || strings.HasPrefix(name, "trusted.") || name == "security.selinux" {
			continue
		}
		x := xattr{asked: a}
		if p, ok := rep.Xattrs.Get(name); ok {
			x.dict = &xlator.Dict{}
			x.dict.Set(p)
		} else {
			x.err = fmt.Errorf("getxattr %s of gfid %s: %w", name, i.GFID(), syscall.ENODATA)
		}
		t.keepXattr(i, name, x)
	}
	return rep, nil
}

func (t *translator) findXattr(i *xlator.Inode, name string) (xattr, bool) {
	if e := t.entries.Get(i); e != nil {
		e.mu.Lock()
		x, ok := e.xattrs[name]
		e.mu.Unlock()
		if ok && t.usable(&x.asked) {
			t.xattrHits.Add(1)
			return x, true
		}
	}
	t.xattrMisses.Add(1)
	return xattr{}, false
}

// keepXattr is keep for an extended attribute.
func (t *translator) keepXattr(i *xlator.Inode, name string, x xattr) {
	e := t.entryOf(i)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running > 0 || !t.current(i.GFID(), x.asked) {
		return
	}
	if e.xattrs == nil {
		e.xattrs = map[string]xattr{}
	}
	e.xattrs[strings.Clone(name)] = x
}

// Setxattr implements xlator.Fops.
func (t *translator) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	c := t.begin(r.Inode, anything)
	defer t.end(&c, nil)
	return t.Next.Setxattr(ctx, r)
}

// Fsetxattr implements xlator.Fops.
func (t *translator) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	c := t.begin(r.FD.Inode(), anything)
	defer t.end(&c, nil)
	return t.Next.Fsetxattr(ctx, r)
}

// Removexattr implements xlator.Fops.
func (t *translator) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	c := t.begin(r.Inode, anything)
	defer t.end(&c, nil)
	return t.Next.Removexattr(ctx, r)
}

// Fremovexattr implements xlator.Fops.
func (t *translator) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	c := t.begin(r.FD.Inode(), anything)
	defer t.end(&c, nil)
	return t.Next.Fremovexattr(ctx, r)
}

// Xattrop implements xlator.Fops.
func (t *translator) Xattrop(ctx context.Context, r *xlator.XattropReq) (*xlator.XattrRep, error) {
	c := t.begin(r.Inode, anything)
	defer t.end(&c, nil)
	return t.Next.Xattrop(ctx, r)
}

// Fxattrop implements xlator.Fops.
func (t *translator) Fxattrop(ctx context.Context, r *xlator.FxattropReq) (*xlator.XattrRep, error) {
	c := t.begin(r.FD.Inode(), anything)
	defer t.end(&c, nil)
	return t.Next.Fxattrop(ctx, r)
}
