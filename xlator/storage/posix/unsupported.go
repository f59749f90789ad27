package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Lk implements xlator.Fops: locks are features/locks' business.
func (b *Brick) Lk(_ context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	return nil, fail("lk (needs features/locks above)", r.FD.Inode().GFID(), "", unix.EOPNOTSUPP)
}

// Inodelk implements xlator.Fops; see Lk.
func (b *Brick) Inodelk(_ context.Context, r *xlator.InodelkReq) (*xlator.Empty, error) {
	return nil, fail("inodelk (needs features/locks above)", r.Inode.GFID(), "", unix.EOPNOTSUPP)
}

// Finodelk implements xlator.Fops; see Lk.
func (b *Brick) Finodelk(_ context.Context, r *xlator.FinodelkReq) (*xlator.Empty, error) {
	return nil, fail("finodelk (needs features/locks above)", r.FD.Inode().GFID(), "", unix.EOPNOTSUPP)
}

// Entrylk implements xlator.Fops; see Lk.
func (b *Brick) Entrylk(_ context.Context, r *xlator.EntrylkReq) (*xlator.Empty, error) {
	return nil, fail("entrylk (needs features/locks above)", r.Inode.GFID(), r.Name, unix.EOPNOTSUPP)
}

// Fentrylk implements xlator.Fops; see Lk.
func (b *Brick) Fentrylk(_ context.Context, r *xlator.FentrylkReq) (*xlator.Empty, error) {
	return nil, fail("fentrylk (needs features/locks above)", r.FD.Inode().GFID(), r.Name, unix.EOPNOTSUPP)
}

// Ipc implements xlator.Fops: no messages are known here.
func (b *Brick) Ipc(context.Context, *xlator.IpcReq) (*xlator.IpcRep, error) {
	return nil, fail("ipc", xlator.RootGFID, "", unix.EOPNOTSUPP)
}
