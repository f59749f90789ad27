package posix

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func timeOf(t unix.StatxTimestamp) xlator.Time { return xlator.Time{Sec: t.Sec, Nsec: t.Nsec} }

// iatt turns what the kernel says of an object into its attributes. k is a
// descriptor of it, or nil.
func (rt *Runtime) iatt(o *object, st *unix.Statx_t, k *kfd) xlator.Iatt {
	a := xlator.Iatt{
		GFID: o.gfid, Type: o.typ, Mode: uint32(st.Mode) & 0o7777, Nlink: st.Nlink, UID: st.Uid, GID: st.Gid,
		Size: st.Size, Blksize: st.Blksize, Blocks: st.Blocks,
		Atime: timeOf(st.Atime), Mtime: timeOf(st.Mtime), Ctime: timeOf(st.Ctime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		a.Btime = timeOf(st.Btime)
	}
	if o.typ == xlator.TypeBlock || o.typ == xlator.TypeChar {
		a.Rdev = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	}
	// A handle counts as a link, as does .glusterfs in the root.
	if a.Nlink > 0 && (o.handled.Load() || o == rt.root) {
		a.Nlink--
	}
	if o.mdata.Load() {
		rt.overrideTimes(o, &a, k)
	}
	return a
}

// attr asks for an object's attributes through a descriptor.
func (rt *Runtime) attr(o *object, k *kfd) (xlator.Iatt, error) {
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil {
		return xlator.Iatt{}, err
	}
	return rt.iatt(o, &st, k), nil
}

// after is attr where the operation has succeeded already: attributes that
// cannot be had are left out.
func (rt *Runtime) after(o *object, k *kfd) xlator.Iatt {
	a, _ := rt.attr(o, k)
	return a
}

// mdata is trusted.glusterfs.mdata: times that override the file system's.
type mdata struct{ ctime, mtime, atime xlator.Time }

const mdataSize = 57

func parseMdata(b []byte) (m mdata, ok bool) {
	if len(b) != mdataSize {
		return m, false
	}
	for i, t := range []*xlator.Time{&m.ctime, &m.mtime, &m.atime} {
		at := b[9+16*i:]
		t.Sec, t.Nsec = int64(binary.BigEndian.Uint64(at)), uint32(binary.BigEndian.Uint64(at[8:]))
	}
	return m, true
}

func (m mdata) bytes() []byte {
	b := make([]byte, 9, mdataSize)
	b[0] = 1
	for _, t := range []xlator.Time{m.ctime, m.mtime, m.atime} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Sec))
		b = binary.BigEndian.AppendUint64(b, uint64(t.Nsec))
	}
	return b
}

func readMdata(k *kfd) (mdata, bool) {
	var buf [mdataSize + 1]byte
	n, err := k.getxattr(xattrMdata, buf[:])
	if err != nil {
		return mdata{}, false
	}
	return parseMdata(buf[:n])
}

func (rt *Runtime) overrideTimes(o *object, a *xlator.Iatt, k *kfd) {
	if k == nil {
		var err error
		if k, err = rt.acquire(o); err != nil {
			return
		}
		defer k.put()
	}
	if m, ok := readMdata(k); ok {
		a.Ctime, a.Mtime, a.Atime = m.ctime, m.mtime, m.atime
	}
}

// stamp says which times an operation changes.
type stamp uint8

const (
	stampCtime stamp = 1 << iota
	stampMtime
	stampAtime
)

// touch moves the times in an object's mdata to now, where it has one.
func (rt *Runtime) touch(o *object, k *kfd, what stamp) {
	if !o.mdata.Load() {
		return
	}
	now := time.Now()
	t := xlator.Time{Sec: now.Unix(), Nsec: uint32(now.Nanosecond())}
	rt.editMdata(o, k, func(m *mdata) {
		for bit, p := range map[stamp]*xlator.Time{stampCtime: &m.ctime, stampMtime: &m.mtime, stampAtime: &m.atime} {
			if what&bit != 0 && p.Before(t) {
				*p = t
			}
		}
	})
}

func (rt *Runtime) editMdata(o *object, k *kfd, f func(*mdata)) {
	o.xattrs.Lock()
	defer o.xattrs.Unlock()
	m, ok := readMdata(k)
	if !ok {
		return
	}
	f(&m)
	if err := k.setxattr(xattrMdata, m.bytes(), unix.XATTR_REPLACE); err != nil {
		rt.log.Warn("set times of an object", "brick", rt.dir, "gfid", o.gfid, "error", err)
	}
}
