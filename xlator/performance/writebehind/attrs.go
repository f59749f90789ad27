package writebehind

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Stat implements xlator.Fops.
func (t *translator) Stat(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	t.flush(r.Inode)
	return t.Next.Stat(ctx, r)
}

// Fstat implements xlator.Fops.
func (t *translator) Fstat(ctx context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fstat(ctx, r)
}

// Setattr implements xlator.Fops. A time that is set must not be overtaken by an
// earlier write.
func (t *translator) Setattr(ctx context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	t.flush(r.Inode)
	return t.Next.Setattr(ctx, r)
}

// Fsetattr implements xlator.Fops, as Setattr.
func (t *translator) Fsetattr(ctx context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fsetattr(ctx, r)
}

// Getxattr implements xlator.Fops. A write may take a capability away.
func (t *translator) Getxattr(ctx context.Context, r *xlator.GetxattrReq) (*xlator.XattrRep, error) {
	t.flush(r.Inode)
	return t.Next.Getxattr(ctx, r)
}

// Fgetxattr implements xlator.Fops, as Getxattr.
func (t *translator) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fgetxattr(ctx, r)
}

// Setxattr implements xlator.Fops.
func (t *translator) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	t.flush(r.Inode)
	return t.Next.Setxattr(ctx, r)
}

// Fsetxattr implements xlator.Fops.
func (t *translator) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fsetxattr(ctx, r)
}

// Removexattr implements xlator.Fops.
func (t *translator) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	t.flush(r.Inode)
	return t.Next.Removexattr(ctx, r)
}

// Fremovexattr implements xlator.Fops.
func (t *translator) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fremovexattr(ctx, r)
}

// Xattrop implements xlator.Fops.
func (t *translator) Xattrop(ctx context.Context, r *xlator.XattropReq) (*xlator.XattrRep, error) {
	t.flush(r.Inode)
	return t.Next.Xattrop(ctx, r)
}

// Fxattrop implements xlator.Fops.
func (t *translator) Fxattrop(ctx context.Context, r *xlator.FxattropReq) (*xlator.XattrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fxattrop(ctx, r)
}
