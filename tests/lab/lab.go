package lab

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

//go:embed guard.sh
var guardScript string

// Lab is one GlusterFS: a glusterd, its volumes and stock clients. It belongs to
// one test; its methods fail that test.
type Lab struct {
	// Constant.

	// Host is the address of glusterd and the bricks, "127.A.B.100".
	Host string
	// Glusterd is the management daemon.
	Glusterd *Daemon

	t        testing.TB
	base     string // on the host: the clients' mount points and logs
	reserved net.Listener
	ns       *namespace
	guard    *exec.Cmd
	toGuard  io.WriteCloser

	commands sync.Mutex // one gluster command at a time

	// For the goroutine of the test.
	volumes []*Volume
	mounts  int // ever made
	relays  int // ever made
}

// Option changes how Start starts a lab.
type Option func(*config)

type config struct{ disk int64 }

// defaultDisk takes memory only as far as it is written.
const defaultDisk = 4 << 30

// Disk makes the file system that holds all bricks so many bytes large, in
// memory; without it 4 GiB.
func Disk(bytes int64) Option {
	return func(c *config) { c.disk = bytes }
}

// needed are the programs that a lab runs, and the Debian packages that have them.
func needed() [][2]string {
	return [][2]string{
		{"glusterd", "glusterfs-server"},
		{"glusterfsd", "glusterfs-common"},
		{"gluster", "glusterfs-cli"},
		{"glusterfs", "glusterfs-client"},
		{"mkfs.ext4", "e2fsprogs"},
		{"mount", "mount"},
		{"nsenter", "util-linux"},
		{"pivot_root", "util-linux"},
		{"awk", "mawk"},
	}
}

func checkPrograms(programs [][2]string) error {
	var missing []string
	for _, p := range programs {
		if _, err := lookPath(p[0]); err != nil {
			missing = append(missing, fmt.Sprintf("%s (Debian package %s)", p[0], p[1]))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a lab needs %s: run \"make deps\" as root", strings.Join(missing, ", "))
	}
	return nil
}

// Start starts a glusterd without volumes. The end of the test ends it and all
// that was started in the lab, and fails if anything stays.
func Start(t testing.TB, opts ...Option) *Lab {
	t.Helper()
	c := config{disk: defaultDisk}
	for _, o := range opts {
		o(&c)
	}
	if err := checkPrograms(needed()); err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t}
	t.Cleanup(l.stop)
	if err := l.start(c); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *Lab) start(c config) error {
	var err error
	if l.base, err = os.MkdirTemp("", "holdfast-lab-"); err != nil {
		return err
	}
	// Others than root must come through to the mounts.
	if err := os.Chmod(l.base, 0o755); err != nil {
		return err
	}
	if err := l.reserve(); err != nil {
		return err
	}
	if err := l.startGuard(); err != nil {
		return err
	}
	root := filepath.Join(l.base, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if l.ns, err = newNamespace(root, "disk-"+filepath.Base(l.base), c.disk); err != nil {
		return err
	}
	l.Glusterd = &Daemon{l: l, name: "glusterd", is: func(args []string) bool { return filepath.Base(args[0]) == "glusterd" }}
	if err := os.WriteFile(l.ns.path(glusterdVolfile), []byte(fmt.Sprintf(glusterdOptions, l.Host)), 0o644); err != nil {
		return err
	}
	return l.startGlusterd()
}

// glusterdPort is what clients and bricks expect.
const glusterdPort = "24007"

// reservePort is listened on for as long as the lab lives, so that no other lab
// takes the same addresses. Nobody connects.
const reservePort = "24006"

// reserve finds a free 127.A.B.100. All numbers have three digits, so that a
// relay's address is as long as the lab's.
func (l *Lab) reserve() error {
	var err error
	for range 100 {
		host := fmt.Sprintf("127.%d.%d.100", 100+rand.IntN(155), 100+rand.IntN(155))
		if l.reserved, err = net.Listen("tcp", net.JoinHostPort(host, reservePort)); err != nil {
			continue
		}
		l.Host = host
		free, err := net.Listen("tcp", net.JoinHostPort(host, glusterdPort))
		if err != nil {
			return fmt.Errorf("%w: does a glusterd that listens on all addresses run on this machine? It must not beside a lab", err)
		}
		return free.Close()
	}
	return fmt.Errorf("no address for a lab: %w", err)
}

func (l *Lab) startGuard() error {
	cmd := exec.Command("sh", "-c", guardScript, "guard", l.base)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no ^C
	var err error
	if l.toGuard, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	l.guard = cmd
	return nil
}

// tell sends the guard a line. A guard that is dead is found at the end.
func (l *Lab) tell(format string, args ...any) {
	fmt.Fprintf(l.toGuard, format+"\n", args...)
}

// stop ends the lab and proves that nothing stays. The clients are gone already:
// their cleanups run before this one.
func (l *Lab) stop() {
	if l.ns != nil {
		for _, d := range l.daemons() {
			if err := d.checkAlive(); err != nil {
				l.t.Error(err)
			}
		}
		l.checkCrashes()
		if l.t.Failed() {
			l.showLogs()
		}
		for _, d := range l.daemons() {
			d.forget()
		}
		if err := l.ns.end(); err != nil {
			l.t.Error(err)
		}
	}
	if err := l.leftovers(); err != nil {
		l.t.Error(err)
	}
	if l.reserved != nil {
		l.reserved.Close()
	}
	if l.guard == nil {
		return
	}
	l.tell("done")
	l.toGuard.Close()
	if err := l.guard.Wait(); err != nil {
		l.t.Errorf("the lab's guard: %v", err)
	}
}

func (l *Lab) daemons() []*Daemon {
	var all []*Daemon
	if l.Glusterd != nil {
		all = append(all, l.Glusterd)
	}
	for _, v := range l.volumes {
		for _, b := range v.Bricks {
			all = append(all, b.Daemon)
		}
	}
	return all
}

// leftovers looks for what must be gone, and removes the folder.
func (l *Lab) leftovers() error {
	if l.base == "" {
		return nil
	}
	var all []error
	mounts, err := mountsBelow(l.base)
	all = append(all, err)
	for _, dir := range mounts {
		all = append(all, fmt.Errorf("%s is still mounted; it is detached", dir))
		syscall.Unmount(dir, syscall.MNT_DETACH|umountNoFollow)
	}
	if l.ns != nil {
		// Nobody but the lab listened there, so anybody who does is its.
		ln, err := net.Listen("tcp", net.JoinHostPort(l.Host, glusterdPort))
		if err != nil {
			all = append(all, fmt.Errorf("glusterd's port is still in use: %w", err))
		} else {
			ln.Close()
		}
	}
	if err := os.RemoveAll(l.base); err != nil {
		all = append(all, fmt.Errorf("clean up: %w", err))
	}
	return errors.Join(all...)
}

const umountNoFollow = 0x8 // UMOUNT_NOFOLLOW

// mountsBelow reads mountinfo and never touches a mount point.
func mountsBelow(dir string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			found = append(found, f[4])
		}
	}
	return found, nil
}

// crashMark is what a GlusterFS process logs when it dies of a fault of its own.
const crashMark = "\nsignal received: "

// checkCrashes finds daemons that crashed, also if another took their place since.
func (l *Lab) checkCrashes() {
	for _, f := range l.logs() {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), crashMark) {
			l.t.Errorf("the log %s tells of a crash", filepath.Base(f))
		}
	}
}

const shownLog = 60 // lines of each log

// showLogs shows the ends of the logs in the lab.
func (l *Lab) showLogs() {
	for _, f := range l.logs() {
		l.t.Logf("%s:\n%s", filepath.Base(f), lastLines(f))
	}
}

func (l *Lab) logs() []string {
	var logs []string
	for _, pattern := range []string{"/var/log/glusterfs/*.log", "/var/log/glusterfs/bricks/*.log"} {
		files, _ := filepath.Glob(l.ns.path(pattern))
		logs = append(logs, files...)
	}
	return logs
}

// lastLines is the end of a log, without the volfiles that it repeats.
func lastLines(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if number, _, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.Trim(number, "0123456789") != "" {
			lines = append(lines, line)
		}
	}
	if n := len(lines); n > shownLog {
		lines = append([]string{"(" + strconv.Itoa(n-shownLog) + " lines before)\n"}, lines[n-shownLog:]...)
	}
	return strings.Join(lines, "")
}

// commandTimeout is for one gluster command, on a busy machine.
const commandTimeout = 60 * time.Second

// Gluster runs the gluster command, without questions, and returns its output.
func (l *Lab) Gluster(args ...string) string {
	l.t.Helper()
	out, err := l.TryGluster(args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// TryGluster is Gluster for a command that may fail, or hang: it is ended after
// a minute.
func (l *Lab) TryGluster(args ...string) (string, error) {
	return l.gluster(commandTimeout, args...)
}

func (l *Lab) gluster(timeout time.Duration, args ...string) (string, error) {
	l.commands.Lock()
	defer l.commands.Unlock()
	return l.ns.run(timeout, append([]string{"gluster", "--mode=script"}, args...)...)
}
