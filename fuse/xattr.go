package fuse

import (
	"fmt"
	"strings"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

// Limits of xattr(7).
const (
	xattrNameMax = 255
	xattrSizeMax = 64 << 10
	xattrListMax = 64 << 10
)

// checkXattr refuses what cannot be an attribute here.
func (b *bridge) checkXattr(name string) error {
	if name == "" || len(name) > xattrNameMax {
		return syscall.ERANGE
	}
	if !b.opts.ACL && isACL(name) {
		return syscall.EOPNOTSUPP
	}
	return nil
}

func isACL(name string) bool {
	return name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// getxattr copies a value to dest and returns its size; with an empty dest the
// size is all that is asked for.
func (b *bridge) getxattr(r *request, name string, dest []byte) (int, error) {
	if err := b.checkXattr(name); err != nil {
		return 0, err
	}
	u, err := b.use(r)
	if err != nil {
		return 0, err
	}
	defer u.Done()
	rep, err := u.G.Top.Getxattr(&r.call, &xlator.GetxattrReq{Inode: u.Inode, Name: name})
	if err != nil {
		return 0, err
	}
	value, ok := rep.Xattrs.Bytes(name)
	if !ok {
		return 0, fmt.Errorf("%s has no %s: %w", u.Inode.GFID(), name, syscall.ENODATA)
	}
	return deliver(dest, value, xattrSizeMax)
}

// deliver copies what an application asked for, as xattr calls do it.
func deliver(dest, value []byte, limit int) (int, error) {
	switch {
	case len(value) > limit:
		return 0, syscall.E2BIG
	case len(dest) == 0:
		return len(value), nil
	case len(value) > len(dest):
		return 0, syscall.ERANGE
	}
	return copy(dest, value), nil
}

// listxattr copies the names, each with its NUL, to dest.
func (b *bridge) listxattr(r *request, dest []byte) (int, error) {
	u, err := b.use(r)
	if err != nil {
		return 0, err
	}
	defer u.Done()
	rep, err := u.G.Top.Getxattr(&r.call, &xlator.GetxattrReq{Inode: u.Inode})
	if err != nil {
		return 0, err
	}
	var names []byte
	for _, p := range rep.Xattrs.Pairs() {
		if b.mayList(&r.call, p.Key) {
			names = append(append(names, p.Key...), 0)
		}
	}
	return deliver(dest, names, xattrListMax)
}

// mayList leaves out what the caller could not read: trusted attributes are
// root's.
func (b *bridge) mayList(c *xlator.Call, name string) bool {
	if isACL(name) {
		return b.opts.ACL
	}
	return c.UID == 0 || !strings.HasPrefix(name, "trusted.")
}

func (b *bridge) setxattr(r *request, in *gofuse.SetXAttrIn, name string, value []byte) error {
	if err := b.checkXattr(name); err != nil {
		return err
	}
	if int(in.Size) > len(value) {
		return syscall.EINVAL
	}
	value = value[:in.Size]
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	// A Dict may be kept by whoever gets it; the request's memory may not.
	d := &xlator.Dict{}
	d.SetBytes(name, append([]byte(nil), value...))
	_, err = u.G.Top.Setxattr(&r.call, &xlator.SetxattrReq{
		Inode: u.Inode, Xattrs: d, Flags: in.Flags, KillSGID: in.SetXAttrFlags&gofuse.SETXATTR_ACL_KILL_SGID != 0,
	})
	return err
}

func (b *bridge) removexattr(r *request, name string) error {
	if err := b.checkXattr(name); err != nil {
		return err
	}
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	_, err = u.G.Top.Removexattr(&r.call, &xlator.RemovexattrReq{Inode: u.Inode, Name: name})
	return err
}
