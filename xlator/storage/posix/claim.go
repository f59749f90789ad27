package posix

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const (
	xattrGFID   = "trusted.gfid"
	xattrVolume = "trusted.glusterfs.volume-id"
	xattrMark   = "trusted.holdfast.volume"
	xattrMdata  = "trusted.glusterfs.mdata"
	prefixAFR   = "trusted.afr."
)

// claim is under what conditions a directory may be taken into use.
type claim struct {
	volume  uuid.UUID // wanted; Nil: any
	foreign bool      // bricks of another making too
	limit   int64
	log     *slog.Logger
	users   xlator.Opens       // who else knows of open files; nil: nobody
	keeper  xlator.Descriptors // nil: nobody keeps the lock
	name    string             // under which it keeps it: Runtime.identity
}

// inspect learns where the directory is and refuses what cannot work.
func (rt *Runtime) inspect() error {
	var st unix.Statx_t
	if err := statFD(rt.rootFD.n, &st); err != nil {
		return fmt.Errorf("stat brick directory %s: %w", rt.dir, err)
	}
	rt.dev = unix.Mkdev(st.Dev_major, st.Dev_minor)
	var h rawHandle
	m, err := nameToHandle(rt.rootFD.n, "", unix.AT_EMPTY_PATH, &h)
	if err != nil {
		return fmt.Errorf("brick directory %s: its file system gives no file handles (ext4, xfs, btrfs and tmpfs do): %w", rt.dir, err)
	}
	rt.mount = m
	fd, err := openByHandle(rt.rootFD.n, string(h.key()), unix.O_PATH)
	if err != nil {
		return fmt.Errorf("brick directory %s: open by file handle (needs CAP_DAC_READ_SEARCH): %w", rt.dir, err)
	}
	unix.Close(fd)
	rt.root = &object{gfid: xlator.RootGFID, typ: xlator.TypeDirectory, fh: string(h.key()), ino: st.Ino}
	rt.byGFID.add(string(rt.root.gfid[:]), rt.root, func(*object) bool { return false })
	rt.root.mdata.Store(hasXattr(rt.rootFD, xattrMdata))
	rt.publish(rt.root)
	return nil
}

// refuseMounts looks for other file systems mounted inside the directory: what
// is in them has no handle here.
func (rt *Runtime) refuseMounts() error {
	real, err := os.Readlink(procPath(rt.rootFD.n))
	if err != nil {
		return fmt.Errorf("brick directory %s: %w", rt.dir, err)
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("brick directory %s: %w", rt.dir, err)
	}
	defer f.Close()
	if in := mountsInside(f, real); len(in) > 0 {
		return fmt.Errorf("brick directory %s: another file system is mounted inside, at %s; unmount it, or mount a directory without it: %w",
			rt.dir, strings.Join(in, ", "), unix.EXDEV)
	}
	return nil
}

// mountsInside lists the mount points of a mountinfo(5) table below dir.
func mountsInside(table io.Reader, dir string) (found []string) {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for s := bufio.NewScanner(table); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 5 {
			continue
		}
		at := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		if strings.HasPrefix(at, prefix) && at != prefix {
			found = append(found, at)
		}
	}
	return found
}

// judge decides whether the directory may be used.
func (rt *Runtime) judge(c claim) error {
	if err := rt.refuseMounts(); err != nil {
		return err
	}
	id, err := rt.rootID(xattrVolume)
	if err != nil {
		return err
	}
	mark, err := rt.rootID(xattrMark)
	if err != nil {
		return err
	}
	if id != uuid.Nil && c.volume != uuid.Nil && id != c.volume {
		return fmt.Errorf("brick directory %s belongs to volume %s, not to %s: %w", rt.dir, id, c.volume, unix.EINVAL)
	}
	if g, err := readGFID(rt.rootFD); err == nil && g != xlator.RootGFID {
		return fmt.Errorf("brick directory %s is a directory inside a brick (its gfid is %s); mount the brick's own directory: %w", rt.dir, g, unix.EINVAL)
	}
	if c.foreign {
		return nil
	}
	const hint = "using it may damage that volume; mount with -o allow-foreign-brick if you are sure that nothing else serves it"
	if id != uuid.Nil && id != mark {
		return fmt.Errorf("brick directory %s is a brick of volume %s, made by other software; %s: %w", rt.dir, id, hint, unix.EBUSY)
	}
	names, err := sized(rt.rootFD.listxattr)
	if err != nil {
		return fmt.Errorf("brick directory %s: list extended attributes: %w", rt.dir, err)
	}
	for _, n := range bytes.Split(names, []byte{0}) {
		if bytes.HasPrefix(n, []byte(prefixAFR)) {
			return fmt.Errorf("brick directory %s is a replica of a volume (it has %s); %s: %w", rt.dir, n, hint, unix.EBUSY)
		}
	}
	return rt.refuseInside()
}

// refuseInside looks for a brick that the directory is part of.
func (rt *Runtime) refuseInside() error {
	real, err := os.Readlink(procPath(rt.rootFD.n))
	if err != nil {
		return fmt.Errorf("brick directory %s: %w", rt.dir, err)
	}
	for d := real; d != "/" && strings.HasPrefix(d, "/"); {
		d = filepath.Dir(d)
		if n, err := unix.Getxattr(d, xattrVolume, nil); err == nil && n == 16 {
			return fmt.Errorf("brick directory %s is inside the brick %s; mount that one, or mount with -o allow-foreign-brick: %w", rt.dir, d, unix.EBUSY)
		}
	}
	return nil
}

// rootID reads a volume's identity from the root; Nil if it is not there.
func (rt *Runtime) rootID(name string) (uuid.UUID, error) {
	var buf [17]byte
	n, err := rt.rootFD.getxattr(name, buf[:])
	switch {
	case err == unix.ENODATA:
		return uuid.Nil, nil
	case err == unix.EOPNOTSUPP:
		return uuid.Nil, fmt.Errorf("brick directory %s: its file system keeps no trusted extended attributes: %w", rt.dir, err)
	case err != nil && err != unix.ERANGE:
		return uuid.Nil, fmt.Errorf("brick directory %s: read %s: %w", rt.dir, name, err)
	case n != 16 || err != nil:
		return uuid.Nil, fmt.Errorf("brick directory %s: %s is not 16 bytes long: %w", rt.dir, name, unix.EINVAL)
	}
	return uuid.UUID(buf[:16]), nil
}

// mark gives a plain directory its volume-id, our mark first: a crash between
// the two leaves nothing that looks like somebody else's.
func (rt *Runtime) mark(c claim) error {
	id, err := rt.rootID(xattrVolume)
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		if id, err = rt.rootID(xattrMark); err != nil {
			return err
		}
		if c.volume != uuid.Nil {
			id = c.volume
		}
		if id == uuid.Nil {
			id = uuid.New()
		}
		for _, name := range []string{xattrMark, xattrVolume} {
			if err := rt.rootFD.setxattr(name, id[:], 0); err != nil {
				return fmt.Errorf("brick directory %s: set %s: %w", rt.dir, name, err)
			}
		}
	}
	rt.volume = id
	return nil
}
