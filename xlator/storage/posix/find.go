package posix

import (
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// readGFID reads trusted.gfid: ENODATA without one, EINVAL for nonsense.
func readGFID(k *kfd) (g xlator.GFID, err error) {
	var buf [17]byte
	n, err := k.getxattr(xattrGFID, buf[:])
	if err != nil {
		return g, err
	}
	g = xlator.GFID(buf[:16])
	if n != 16 || g.IsZero() {
		return g, unix.EINVAL
	}
	return g, nil
}

func hasXattr(k *kfd, name string) bool {
	_, err := k.getxattr(name, nil)
	return err == nil
}

// lookup finds what a name in a directory says. The caller is inside the gate
// and holds dfd, a descriptor of dir.
func (rt *Runtime) lookup(p *pass, dir *object, dfd *kfd, name string, st *unix.Statx_t) (*object, error) {
	rt.lookups.Add(1)
	if name == "" || dir == rt.root && name == metaName {
		return nil, unix.ENOENT
	}
	if name == "." || name == ".." && dir == rt.root {
		return dir, statFD(dfd.n, st)
	}
	if name == ".." {
		return rt.lookupParent(dfd, st)
	}
	var h rawHandle
	for range retries {
		m, err := nameToHandle(dfd.n, name, 0, &h)
		if err == unix.EOPNOTSUPP || err == nil && m != rt.mount {
			return nil, unix.EXDEV
		}
		if err != nil {
			return nil, err
		}
		o := rt.byHandle.get(h.key())
		if o == nil {
			o, err = rt.learn(p, dir, dfd, name, &h)
			if err == errMoved {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		if err := statName(dfd.n, name, st); err != nil {
			return nil, err
		}
		if st.Ino == o.ino {
			return o, nil
		}
	}
	return nil, unix.ESTALE
}

func (rt *Runtime) lookupParent(dfd *kfd, st *unix.Statx_t) (*object, error) {
	fd, err := openat(dfd.n, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	k := newKFD(fd, false)
	defer k.put()
	g, err := readGFID(k)
	if err != nil {
		return nil, unix.ESTALE
	}
	if err := statFD(fd, st); err != nil {
		return nil, err
	}
	return rt.find(g)
}

// names reports whether the name still is the object's. With the object's
// names locked it stays so.
func (rt *Runtime) names(dfd *kfd, name string, o *object) bool {
	var h rawHandle
	m, err := nameToHandle(dfd.n, name, 0, &h)
	return err == nil && m == rt.mount && string(h.key()) == o.fh
}

// learn takes an object into the table that a name showed: it reads or gives
// its gfid and makes its handle if it is missing. errMoved: look again.
func (rt *Runtime) learn(p *pass, dir *object, dfd *kfd, name string, h *rawHandle) (*object, error) {
	rt.learned.Add(1)
	fd, err := openat(dfd.n, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err == unix.EMFILE || err == unix.ENFILE {
		rt.paths.flush()
		fd, err = openat(dfd.n, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	k := newKFD(fd, false)
	defer k.put()
	var now rawHandle
	if _, err := nameToHandle(fd, "", unix.AT_EMPTY_PATH, &now); err != nil {
		return nil, err
	}
	if string(now.key()) != string(h.key()) {
		return nil, errMoved
	}
	var st unix.Statx_t
	if err := statFD(fd, &st); err != nil {
		return nil, err
	}
	if unix.Mkdev(st.Dev_major, st.Dev_minor) != rt.dev {
		return nil, unix.EXDEV
	}
	g, err := readGFID(k)
	switch {
	case err == unix.ENODATA:
		g = xlator.NewGFID()
		switch err := k.setxattr(xattrGFID, g[:], unix.XATTR_CREATE); err {
		case nil:
		case unix.EEXIST:
			return nil, errMoved // somebody else gave one
		default:
			return nil, err
		}
	case err != nil:
		return nil, err
	case g == xlator.RootGFID: // a copy of a brick's root
		return nil, rt.regift(k, g)
	}
	o := rt.intern(g, xlator.TypeOf(uint32(st.Mode)), string(h.key()), st.Ino)
	if o.fh != string(h.key()) {
		return nil, rt.settleTwins(p, o, k, g)
	}
	return rt.secureHandle(p, o, k, dir, dfd, name)
}

// regift gives an inode another gfid, because the one it has is a copy.
func (rt *Runtime) regift(k *kfd, old xlator.GFID) error {
	g := xlator.NewGFID()
	if err := k.setxattr(xattrGFID, g[:], unix.XATTR_REPLACE); err != nil {
		return err
	}
	rt.log.Warn("a copy carried another object's gfid and got its own", "brick", rt.dir, "gfid", old, "new", g)
	return errMoved
}

// settleTwins decides between the object known by a gfid and another inode that
// carries the same: the known one is stale, or has been replaced behind our back
// and has no name any more, or the newcomer is a copy.
func (rt *Runtime) settleTwins(p *pass, known *object, newcomer *kfd, g xlator.GFID) error {
	k, err := rt.acquire(known)
	if err == unix.ESTALE {
		rt.forget(known)
		return errMoved
	}
	if err != nil {
		return err
	}
	defer k.put()
	if got, err := readGFID(k); err != nil || got != g {
		rt.forget(known)
		return errMoved
	}
	rt.lockNames(p, known)
	defer unlockNames(known)
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil {
		return err
	}
	if known.state() == named && known.typ != xlator.TypeDirectory && st.Nlink <= 1 && known.handled.Load() && !rt.isOpen(known) {
		if err := ifThere(unix.Unlinkat(rt.meta, handlePath(g), 0)); err != nil {
			return err
		}
		rt.bury(known, rt.iatt(known, &st, k))
		return errMoved
	}
	return rt.regift(newcomer, g)
}

// secureHandle makes the handle of an object that a lookup just met, under its
// names lock, and publishes it.
func (rt *Runtime) secureHandle(p *pass, o *object, k *kfd, dir *object, dfd *kfd, name string) (*object, error) {
	rt.lockNames(p, o)
	defer unlockNames(o)
	if o.state() == gone || !rt.names(dfd, name, o) {
		return nil, errMoved
	}
	if rt.byHandle.get([]byte(o.fh)) == o {
		return o, nil // somebody was faster
	}
	var err error
	if o.typ == xlator.TypeDirectory {
		err = rt.ensureDirHandle(o, k, dir.gfid, name)
	} else {
		err = rt.ensureLink(o, k)
	}
	switch err {
	case nil:
	case errMoved:
		rt.forget(o)
		return nil, errMoved
	default:
		// The object works without; the next mount tries again.
		rt.log.Warn("no handle for an object", "brick", rt.dir, "gfid", o.gfid, "error", err)
	}
	o.mdata.Store(hasXattr(k, xattrMdata))
	rt.publish(o)
	return o, nil
}

// ensureLink makes the hard link that is a non-directory's handle.
func (rt *Runtime) ensureLink(o *object, k *kfd) error {
	for range retries {
		err := rt.inFolder(o.gfid, func(path string) error { return linkFD(k.n, rt.meta, path) })
		switch err {
		case nil:
			o.handled.Store(true)
			return nil
		case unix.ENOENT:
			return errMoved // nothing names the inode any more
		case unix.EEXIST:
		default:
			return err
		}
		path := handlePath(o.gfid)
		var h rawHandle
		if _, err := nameToHandle(rt.meta, path, 0, &h); err == nil && string(h.key()) == o.fh {
			o.handled.Store(true)
			return nil
		}
		if twin, err := rt.isTwin(path, o.gfid); err != nil || twin {
			if twin {
				return rt.regift(k, o.gfid)
			}
			return err
		}
		if err := ifThere(unix.Unlinkat(rt.meta, path, 0)); err != nil {
			return err
		}
	}
	return unix.EEXIST
}

// isTwin reports whether a handle leads to an inode that carries that gfid and
// has a name.
func (rt *Runtime) isTwin(path string, g xlator.GFID) (bool, error) {
	fd, err := openat(rt.meta, path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, ifThere(err)
	}
	k := newKFD(fd, false)
	defer k.put()
	if got, err := readGFID(k); err == nil {
		var st unix.Statx_t
		if err := statFD(fd, &st); err != nil {
			return false, err
		}
		return got == g && st.Nlink > 1, nil
	}
	target, err := readlink(fd, "")
	if err != nil {
		return false, nil
	}
	return rt.leadsTo(target, g), nil
}

// ensureDirHandle makes the symbolic link that is a directory's handle.
func (rt *Runtime) ensureDirHandle(o *object, k *kfd, parent xlator.GFID, name string) error {
	want := dirTarget(parent, name)
	path := handlePath(o.gfid)
	err := rt.inFolder(o.gfid, func(path string) error { return unix.Symlinkat(want, rt.meta, path) })
	if err != unix.EEXIST {
		return err
	}
	if have, err := readlink(rt.meta, path); err == nil {
		if have == want {
			return nil
		}
		if fd, err := rt.followDir(have, 0); err == nil {
			twin := newKFD(fd, false)
			defer twin.put()
			var h rawHandle
			if _, err := nameToHandle(fd, "", unix.AT_EMPTY_PATH, &h); err == nil && string(h.key()) != o.fh {
				if got, err := readGFID(twin); err == nil && got == o.gfid {
					return rt.regift(k, o.gfid)
				}
			}
		}
	}
	staged, err := rt.stageDirHandle(o.gfid, parent, name)
	if err != nil {
		return err
	}
	return rt.useDirHandle(o.gfid, staged)
}

// find returns the object of a gfid, through the table or its handle; ESTALE if
// there is none. What is gone but still remembered is returned too.
func (rt *Runtime) find(g xlator.GFID) (*object, error) {
	if o := rt.byGFID.get(g[:]); o != nil {
		return o, nil
	}
	return rt.findOnDisk(g, 0)
}

// maxDepth bounds how deep a directory found by gfid may be.
const maxDepth = 2048

func (rt *Runtime) findOnDisk(g xlator.GFID, depth int) (*object, error) {
	if depth > maxDepth {
		return nil, unix.ELOOP
	}
	fate := named
	fd, err := openat(rt.meta, handlePath(g), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		fate = unlinked
		fd, err = openat(rt.orphans, g.String(), unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err == unix.ENOENT {
		return nil, unix.ESTALE
	}
	if err != nil {
		return nil, err
	}
	k := newKFD(fd, false)
	if got, err := readGFID(k); err != nil || got != g {
		target, err := readlink(fd, "")
		k.put()
		if err != nil {
			return nil, unix.ESTALE
		}
		if fd, err = rt.followDir(target, depth+1); err != nil {
			return nil, unix.ESTALE
		}
		k, fate = newKFD(fd, false), named
		if got, err := readGFID(k); err != nil || got != g {
			k.put()
			return nil, unix.ESTALE
		}
	}
	defer k.put()
	var h rawHandle
	if _, err := nameToHandle(k.n, "", unix.AT_EMPTY_PATH, &h); err != nil {
		return nil, err
	}
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil {
		return nil, err
	}
	o := rt.intern(g, xlator.TypeOf(uint32(st.Mode)), string(h.key()), st.Ino)
	if o.fh == string(h.key()) && o.state() != gone {
		o.fate.CompareAndSwap(named, fate)
		o.handled.Store(o.typ != xlator.TypeDirectory)
		o.mdata.Store(hasXattr(k, xattrMdata))
		rt.publish(o)
	}
	return o, nil
}

// followDir opens the directory that a directory's handle points to: parent by
// gfid, then the name in it.
func (rt *Runtime) followDir(target string, depth int) (int, error) {
	pg, name, ok := parseDirTarget(target)
	if !ok {
		return -1, unix.ESTALE
	}
	parent := rt.byGFID.get(pg[:])
	if parent == nil || parent.state() == gone {
		var err error
		if parent, err = rt.findOnDisk(pg, depth+1); err != nil {
			return -1, err
		}
	}
	k, err := rt.acquire(parent)
	if err != nil {
		return -1, err
	}
	defer k.put()
	return openat(k.n, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
}
