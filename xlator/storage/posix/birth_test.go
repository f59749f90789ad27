package posix

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// looks is what can be seen of who owns an object and who may do what.
type looks struct {
	mode, uid, gid   uint32
	access, heritage string
}

func look(t testing.TB, path string) looks {
	t.Helper()
	st := lstat(t, path)
	l := looks{mode: st.Mode, uid: st.Uid, gid: st.Gid}
	buf := make([]byte, 1024)
	if n, err := unix.Lgetxattr(path, xattrAccess, buf); err == nil {
		l.access = string(buf[:n])
	}
	if n, err := unix.Lgetxattr(path, xattrDefault, buf); err == nil {
		l.heritage = string(buf[:n])
	}
	return l
}

// What is made here has the owner, mode and ACLs that the kernel gives to what
// the same user makes in the same directory.
func TestBirthIsAsTheKernelDoesIt(t *testing.T) {
	defaults := map[string]acl{
		"none":  nil,
		"small": {{aclUserObj, 7, ^uint32(0)}, {aclGroupObj, 5, ^uint32(0)}, {aclOther, 1, ^uint32(0)}},
		"large": {{aclUserObj, 7, ^uint32(0)}, {aclUser, 6, 1234}, {aclGroupObj, 5, ^uint32(0)}, {aclGroup, 7, 4321}, {aclMask, 7, ^uint32(0)}, {aclOther, 0, ^uint32(0)}},
		"tight": {{aclUserObj, 4, ^uint32(0)}, {aclUser, 7, 1234}, {aclGroupObj, 0, ^uint32(0)}, {aclMask, 1, ^uint32(0)}, {aclOther, 7, ^uint32(0)}},
	}
	for name, def := range defaults {
		for _, dirMode := range []uint32{0o777, unix.S_ISGID | 0o777} {
			for _, umask := range []uint32{0, 0o27} {
				for _, id := range []uint32{0, 1500} {
					b := fresh(t)
					b.must(unix.Chmod(b.dir, 0o755))
					b.openUp()
					d := b.mkdir(b.root, "d")
					p := b.path("d")
					b.must(os.Chown(p, 77, 88))
					b.must(unix.Chmod(p, dirMode))
					if def != nil {
						b.must(unix.Setxattr(p, xattrDefault, def.bytes(), 0))
					}
					script := "umask 0; "
					if umask != 0 {
						script = "umask 027; "
					}
					cmd := exec.Command("/bin/sh", "-c", script+"mkdir k-dir && : >k-file && mkfifo k-fifo && ln -s x k-link")
					cmd.Dir = p
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					u := b.as(id, id)
					mk := func(name string, mode uint32) xlator.MakeReq {
						m := u.mk(d, name, mode)
						m.Umask = umask
						return m
					}
					_, err := u.Mkdir(u.ctx, &xlator.MkdirReq{MakeReq: mk("o-dir", 0o777)})
					b.must(err)
					rep, err := u.Create(u.ctx, &xlator.CreateReq{MakeReq: mk("o-file", 0o666), Flags: unix.O_RDONLY | unix.O_CREAT})
					b.must(err)
					b.Release(rep.FD)
					_, err = u.Mknod(u.ctx, &xlator.MknodReq{MakeReq: mk("o-fifo", 0o666), Type: xlator.TypeFIFO})
					b.must(err)
					_, err = u.Symlink(u.ctx, &xlator.SymlinkReq{MakeReq: mk("o-link", 0o777), Target: "x"})
					b.must(err)
					for _, n := range []string{"dir", "file", "fifo", "link"} {
						if k, o := look(t, p+"/k-"+n), look(t, p+"/o-"+n); k != o {
							t.Errorf("default ACL %s, directory %o, umask %o, uid %d: %s\nkernel %+v\nours   %+v", name, dirMode, umask, id, n, k, o)
						}
					}
					b.w.Stop()
				}
			}
		}
	}
}

// openUp lets other users reach the brick's directory through the folders that
// the test framework made.
func (b *brick) openUp() {
	b.t.Helper()
	for p := b.dir; p != os.TempDir() && p != "/"; p = parentOf(p) {
		b.must(os.Chmod(p, 0o755))
	}
}

func TestAccessIsAsTheKernelSees(t *testing.T) {
	b := fresh(t)
	b.openUp()
	f := b.file(b.root, "f", "")
	p := b.path("f")
	list := acl{{aclUserObj, 6, ^uint32(0)}, {aclUser, 7, 1001}, {aclUser, 0, 1002}, {aclGroupObj, 4, ^uint32(0)}, {aclGroup, 2, 2001}, {aclMask, 6, ^uint32(0)}, {aclOther, 1, ^uint32(0)}}
	for _, set := range []acl{nil, list} {
		for _, mode := range []uint32{0o640, 0o711, 0o000, 0o604} {
			_ = unix.Removexattr(p, xattrAccess)
			if set != nil {
				b.must(unix.Setxattr(p, xattrAccess, set.bytes(), 0))
			}
			b.must(os.Chown(p, 1000, 2000))
			b.must(unix.Chmod(p, mode))
			for _, who := range [][2]uint32{{0, 0}, {1000, 1}, {1001, 1}, {1002, 2}, {1003, 2000}, {1003, 2001}, {1003, 3}} {
				for mask := uint32(0); mask < 8; mask++ {
					_, err := b.Access(caller(who[0], who[1]), &xlator.AccessReq{Inode: f, Mask: mask})
					if kernel := kernelAccess(t, p, who, mask); (err == nil) != kernel {
						t.Errorf("mode %o acl %v who %v mask %d: ours %v, kernel allows %v", mode, set != nil, who, mask, err, kernel)
					}
				}
			}
		}
	}
}
