package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// birth is what an object being made will have: owner, permission bits and
// ACLs, as mkdir(2), open(2) and acl(5) derive them from the caller and the
// directory.
type birth struct {
	gfid     xlator.GFID
	typ      xlator.FileType
	uid, gid uint32
	mode     uint32
	access   acl    // nil: the mode says it all
	heritage acl    // a directory's default ACL, nil without
	ino      uint64 // once made
}

// conceive works a birth out. dfd is the directory.
func conceive(ctx context.Context, r *xlator.MakeReq, typ xlator.FileType, dfd *kfd) (birth, error) {
	c := xlator.CallFrom(ctx)
	b := birth{gfid: r.GFID, typ: typ, uid: c.UID, gid: c.GID, mode: r.Mode & 0o7777}
	if b.gfid.IsZero() {
		b.gfid = xlator.NewGFID()
	}
	var st unix.Statx_t
	if err := statFD(dfd.n, &st); err != nil {
		return b, err
	}
	if st.Nlink == 0 {
		return b, unix.ENOENT // removed; ext4 would say EPERM
	}
	if st.Mode&unix.S_ISGID != 0 {
		b.gid = st.Gid
		if typ == xlator.TypeDirectory {
			b.mode |= unix.S_ISGID
		}
	}
	if typ == xlator.TypeSymlink {
		return b, nil
	}
	def, err := readACL(dfd, xattrDefault)
	if err != nil {
		return b, err
	}
	if def == nil {
		b.mode &^= r.Umask & 0o777
		return b, nil
	}
	b.mode, b.access = def.inherit(b.mode)
	if typ == xlator.TypeDirectory {
		b.heritage = def
	}
	return b, nil
}

// raise gives what was just made its owner, ACLs, permission bits and gfid,
// leaving out what is right already: each change is a journal entry.
func (b *birth) raise(k *kfd) error {
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil {
		return err
	}
	b.ino = st.Ino
	if st.Uid != b.uid || st.Gid != b.gid {
		if err := unix.Fchownat(k.n, "", int(b.uid), int(b.gid), unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if b.access != nil {
		if err := k.setxattr(xattrAccess, b.access.bytes(), 0); err != nil {
			return err
		}
	}
	if b.heritage != nil {
		if err := k.setxattr(xattrDefault, b.heritage.bytes(), 0); err != nil {
			return err
		}
	}
	if b.typ != xlator.TypeSymlink && (b.access != nil || uint32(st.Mode)&0o7777 != b.mode) {
		if err := k.chmod(b.mode); err != nil {
			return err
		}
	}
	return k.setxattr(xattrGFID, b.gfid[:], unix.XATTR_CREATE)
}

// enroll takes a finished object into the table, its names locked, before
// anything else can see it.
func (rt *Runtime) enroll(b *birth, k *kfd) (*object, error) {
	var h rawHandle
	if _, err := nameToHandle(k.n, "", unix.AT_EMPTY_PATH, &h); err != nil {
		return nil, err
	}
	o := &object{gfid: b.gfid, typ: b.typ, fh: string(h.key()), ino: b.ino}
	o.names.Lock()
	if rt.enlist(o) != o {
		return nil, unix.EEXIST // the chosen gfid is somebody's
	}
	rt.publish(o)
	return o, nil
}

// free reports whether no entry has that name; a cheap look that saves making
// an object for nothing.
func free(dfd *kfd, name string) error {
	var h rawHandle
	switch _, err := nameToHandle(dfd.n, name, 0, &h); err {
	case unix.ENOENT:
		return nil
	case nil, unix.EOPNOTSUPP, unix.EOVERFLOW:
		return unix.EEXIST
	default:
		return err
	}
}

// make is mknod, mkdir and symlink: build makes the bare object in the staging
// folder under the name it is given.
func (b *Brick) make(ctx context.Context, r *xlator.MakeReq, typ xlator.FileType, build func(staged string) error) (*xlator.EntryRep, error) {
	if err := b.checkName(r.Parent, r.Name); err != nil {
		if err == unix.EINVAL && (r.Name == "." || r.Name == "..") {
			err = unix.EEXIST
		}
		return nil, err
	}
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(r.Parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	if err := free(dfd, r.Name); err != nil {
		return b.madeBefore(ctx, r, &p, dir, dfd, err)
	}
	born, err := conceive(ctx, r, typ, dfd)
	if err != nil {
		return nil, err
	}
	o, st, err := b.rt.stage(&born, dir, dfd, r.Name, build)
	if err != nil {
		return nil, err
	}
	b.rt.touch(dir, dfd, stampCtime|stampMtime)
	return &xlator.EntryRep{Inode: b.inode(o), Attr: b.rt.iatt(o, st, nil), PostParent: b.rt.after(dir, dfd)}, nil
}

// stage makes an object in the staging folder, finishes it, makes its handle
// and moves it to its name.
func (rt *Runtime) stage(born *birth, dir *object, dfd *kfd, name string, build func(staged string) error) (*object, *unix.Statx_t, error) {
	staged := rt.stagedName(born.gfid)
	if err := build(staged); err != nil {
		return nil, nil, err
	}
	var o *object
	var st unix.Statx_t
	err := func() error {
		fd, err := openat(rt.staging, staged, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		k := newKFD(fd, false)
		defer k.put()
		if err := born.raise(k); err != nil {
			return err
		}
		if o, err = rt.enroll(born, k); err != nil {
			return err
		}
		return rt.place(o, k, dir, dfd, name, staged)
	}()
	if o != nil {
		defer unlockNames(o)
	}
	if err == nil {
		// The handle and the name have moved ctime and link count.
		err = statName(dfd.n, name, &st)
		return o, &st, err
	}
	remove(rt.staging, staged)
	if o != nil {
		rt.bury(o, xlator.Iatt{})
		rt.forget(o)
	}
	return nil, nil, err
}

// place gives a staged object its handle and then its name.
func (rt *Runtime) place(o *object, k *kfd, dir *object, dfd *kfd, name, staged string) error {
	err := rt.newHandle(o, k, dir.gfid, name)
	if err != nil {
		return err
	}
	if err = renameNew(rt.staging, staged, dfd.n, name); err != nil {
		unix.Unlinkat(rt.meta, handlePath(o.gfid), 0)
		o.handled.Store(false)
	}
	return err
}

// newHandle makes the handle of a new object. A handle that is there already
// and leads to nothing of that gfid is a leftover and is replaced.
func (rt *Runtime) newHandle(o *object, k *kfd, parent xlator.GFID, name string) error {
	one := func(path string) error {
		if o.typ == xlator.TypeDirectory {
			return unix.Symlinkat(dirTarget(parent, name), rt.meta, path)
		}
		return linkFD(k.n, rt.meta, path)
	}
	err := rt.inFolder(o.gfid, one)
	if err == unix.EEXIST {
		path := handlePath(o.gfid)
		if twin, e := rt.isTwin(path, o.gfid); e != nil || twin {
			return err
		}
		if err = ifThere(unix.Unlinkat(rt.meta, path, 0)); err == nil {
			err = one(path)
		}
	}
	if err == nil {
		o.handled.Store(o.typ != xlator.TypeDirectory)
	}
	return err
}

// renameNew renames to a name that must not be there.
func renameNew(fromDir int, from string, toDir int, to string) error {
	return unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
}

// Mkdir implements xlator.Fops.
func (b *Brick) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	rep, err := b.make(ctx, &r.MakeReq, xlator.TypeDirectory, func(staged string) error {
		return unix.Mkdirat(b.rt.staging, staged, 0o700)
	})
	return rep, fail("mkdir", r.Parent.GFID(), r.Name, err)
}

// Symlink implements xlator.Fops.
func (b *Brick) Symlink(ctx context.Context, r *xlator.SymlinkReq) (*xlator.EntryRep, error) {
	rep, err := b.make(ctx, &r.MakeReq, xlator.TypeSymlink, func(staged string) error {
		return unix.Symlinkat(r.Target, b.rt.staging, staged)
	})
	return rep, fail("symlink", r.Parent.GFID(), r.Name, err)
}

// Mknod implements xlator.Fops.
func (b *Brick) Mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	rep, err := b.mknod(ctx, r)
	return rep, fail("mknod", r.Parent.GFID(), r.Name, err)
}

func (b *Brick) mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	switch r.Type {
	case xlator.TypeRegular:
		m, err := b.makeFile(ctx, &r.MakeReq, 0)
		if err == unix.EEXIST {
			return b.mknodExisting(ctx, &r.MakeReq)
		}
		if err != nil {
			return nil, err
		}
		unix.Close(m.fd)
		unlockNames(m.o)
		return &xlator.EntryRep{Inode: b.inode(m.o), Attr: m.attr, PostParent: m.parent}, nil
	case xlator.TypeFIFO, xlator.TypeSocket, xlator.TypeBlock, xlator.TypeChar:
		return b.make(ctx, &r.MakeReq, r.Type, func(staged string) error {
			return unix.Mknodat(b.rt.staging, staged, r.Type.Mode()|0o600, int(r.Rdev))
		})
	case xlator.TypeDirectory:
		return nil, unix.EPERM
	}
	return nil, unix.EINVAL
}

// mknodExisting is a mknod whose name is taken.
func (b *Brick) mknodExisting(ctx context.Context, r *xlator.MakeReq) (*xlator.EntryRep, error) {
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(r.Parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	return b.madeBefore(ctx, r, &p, dir, dfd, unix.EEXIST)
}
