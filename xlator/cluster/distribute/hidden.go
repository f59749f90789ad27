package distribute

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// hidden reports whether an extended attribute is this translator's own.
func (d *Distribute) hidden(name string) bool {
	rest, ok := strings.CutPrefix(name, d.layoutKey)
	return ok && (rest == "" || rest[0] == '.')
}

// visible is what applications may see of a reply.
func (d *Distribute) visible(rep *xlator.XattrRep) *xlator.XattrRep {
	for _, p := range rep.Xattrs.Pairs() {
		if d.hidden(p.Key) {
			return &xlator.XattrRep{Xattrs: d.without(rep.Xattrs)}
		}
	}
	return rep
}

func (d *Distribute) without(all *xlator.Dict) *xlator.Dict {
	rest := &xlator.Dict{}
	for _, p := range all.Pairs() {
		if !d.hidden(p.Key) {
			rest.Set(p)
		}
	}
	return rest
}

// Getxattr hides the layout.
func (d *Distribute) Getxattr(ctx context.Context, r *xlator.GetxattrReq) (*xlator.XattrRep, error) {
	if d.hidden(r.Name) {
		return nil, fmt.Errorf("getxattr %s: %w", r.Name, unix.ENODATA)
	}
	rep, err := d.Next.Getxattr(ctx, r)
	if err != nil || r.Name != "" {
		return rep, err
	}
	return d.visible(rep), nil
}

// Fgetxattr hides the layout.
func (d *Distribute) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	if d.hidden(r.Name) {
		return nil, fmt.Errorf("fgetxattr %s: %w", r.Name, unix.ENODATA)
	}
	rep, err := d.Next.Fgetxattr(ctx, r)
	if err != nil || r.Name != "" {
		return rep, err
	}
	return d.visible(rep), nil
}

// refuse says that an attribute is not for applications to change.
func (d *Distribute) refuse(fop string, names ...string) error {
	for _, n := range names {
		if d.hidden(n) {
			return fmt.Errorf("%s %s: the layout of directories is the client's own: %w", fop, n, unix.EPERM)
		}
	}
	return nil
}

func keys(x *xlator.Dict) []string {
	var names []string
	for _, p := range x.Pairs() {
		names = append(names, p.Key)
	}
	return names
}

// Setxattr leaves layouts alone. The stock client with one subvolume does not:
// whoever copies attributes as root takes layouts along.
func (d *Distribute) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	if err := d.refuse("setxattr", keys(r.Xattrs)...); err != nil {
		return nil, err
	}
	return d.Next.Setxattr(ctx, r)
}

// Fsetxattr leaves layouts alone.
func (d *Distribute) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	if err := d.refuse("fsetxattr", keys(r.Xattrs)...); err != nil {
		return nil, err
	}
	return d.Next.Fsetxattr(ctx, r)
}

// Removexattr leaves layouts alone.
func (d *Distribute) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	if err := d.refuse("removexattr", r.Name); err != nil {
		return nil, err
	}
	return d.Next.Removexattr(ctx, r)
}

// Fremovexattr leaves layouts alone.
func (d *Distribute) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	if err := d.refuse("fremovexattr", r.Name); err != nil {
		return nil, err
	}
	return d.Next.Fremovexattr(ctx, r)
}
