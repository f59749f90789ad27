package fuse

import (
	"errors"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

func (b *bridge) statfs(r *request, out *gofuse.StatfsOut) error {
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Statfs(&r.call, &xlator.StatfsReq{Inode: u.Inode})
	if err != nil {
		return err
	}
	*out = gofuse.StatfsOut{
		Blocks: rep.Blocks, Bfree: rep.Bfree, Bavail: rep.Bavail, Files: rep.Files, Ffree: rep.Ffree,
		Bsize: uint32(rep.Bsize), Frsize: uint32(rep.Frsize), NameLen: nameMax,
	}
	return nil
}

// access comes only without default_permissions; then the brick decides. An
// ENOSYS would end the question for the life of the mount, so a graph that
// cannot say says yes.
func (b *bridge) access(r *request, mask uint32) error {
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	_, err = u.G.Top.Access(&r.call, &xlator.AccessReq{Inode: u.Inode, Mask: mask})
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	return err
}
