package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is glusterd or a brick's process. It is for the goroutine of the test.
type Daemon struct {
	// Constant.
	l    *Lab
	name string
	is   func(args []string) bool // by its command line

	running bool // as far as the test's doing goes
	stopped bool // by Stop
	proc    process
}

// appearTimeout is for a daemon to start on a busy machine.
const appearTimeout = 60 * time.Second

// find waits for the process.
func (d *Daemon) find() error {
	return waitFor(appearTimeout, d.name+" runs", func() (bool, error) {
		pids, err := children(d.l.ns.pid())
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			if !d.matches(pid) {
				continue
			}
			p, err := openProcess(pid)
			if errors.Is(err, unix.ESRCH) {
				continue
			}
			if err != nil {
				return false, err
			}
			d.forget()
			d.proc, d.running = p, true
			return true, nil
		}
		return false, nil
	})
}

// matches says whether a child of the lab's first process is the daemon. (On its
// way to the background it has another parent.)
func (d *Daemon) matches(pid int) bool {
	args := cmdline(pid)
	return len(args) > 0 && d.is(args)
}

func (d *Daemon) forget() {
	if d.proc.fd > 0 {
		d.proc.close()
	}
	d.proc, d.running, d.stopped = process{}, false, false
}

// PID is the process, as seen from outside the lab; 0 if it does not run.
func (d *Daemon) PID() int { return d.proc.pid }

// Kill ends the process with SIGKILL and waits for its end.
func (d *Daemon) Kill() {
	d.l.t.Helper()
	d.running = false
	d.must(d.proc.signal(unix.SIGKILL))
	d.must(d.proc.waitGone(endTimeout))
	d.forget()
}

// Stop stops the process with SIGSTOP: connections to it stay, and are silent.
func (d *Daemon) Stop() {
	d.l.t.Helper()
	d.must(d.proc.signal(unix.SIGSTOP))
	d.must(d.proc.waitStopped(endTimeout))
	d.stopped = true
}

// Continue ends Stop.
func (d *Daemon) Continue() {
	d.l.t.Helper()
	d.must(d.proc.signal(unix.SIGCONT))
	d.stopped = false
}

// Signal sends any other signal.
func (d *Daemon) Signal(s unix.Signal) {
	d.l.t.Helper()
	d.must(d.proc.signal(s))
}

func (d *Daemon) must(err error) {
	d.l.t.Helper()
	if err != nil {
		d.l.t.Fatalf("%s: %v", d.name, err)
	}
}

// checkAlive finds a daemon that has died without the test having killed it.
func (d *Daemon) checkAlive() error {
	if d.running && !d.proc.alive() {
		return fmt.Errorf("%s, process %d, has died by itself", d.name, d.proc.pid)
	}
	return nil
}

// openFiles are the regular files below dir, a path in the lab, that the process
// has open, relative to dir.
func (d *Daemon) openFiles(dir string) ([]string, error) {
	fds := fmt.Sprintf("/proc/%d/fd", d.proc.pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, e := range entries {
		link := filepath.Join(fds, e.Name())
		path, err := os.Readlink(link)
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed since
		}
		if err != nil {
			return nil, err
		}
		name, below := strings.CutPrefix(path, dir+"/")
		if !below {
			continue
		}
		s, err := os.Stat(link)
		if err == nil && s.Mode().IsRegular() {
			open = append(open, name)
		}
	}
	return open, nil
}

const (
	glusterdVolfile = "/run/glusterd.vol"
	glusterdOptions = `volume management
    type mgmt/glusterd
    option working-directory /var/lib/glusterd
    option transport-type socket
    option transport.socket.listen-port ` + glusterdPort + `
    option transport.socket.bind-address %s
    option transport.socket.keepalive-time 10
    option transport.socket.keepalive-interval 2
    option transport.socket.read-fail-log off
    option ping-timeout 0
    option event-threads 1
    option max-port 60999
end-volume
`
)

// StartGlusterd starts glusterd again after a Kill, and waits until it knows the
// bricks. Those that run stay as they are; it starts those of started volumes
// that do not.
func (l *Lab) StartGlusterd() {
	l.t.Helper()
	if err := l.startGlusterd(); err != nil {
		l.t.Fatal(err)
	}
	for _, v := range l.volumes {
		if v.started {
			v.up()
		}
	}
}

// thaw continues what Stop has stopped.
func (l *Lab) thaw() {
	for _, d := range l.daemons() {
		if d.stopped {
			d.Continue()
		}
	}
}

func (l *Lab) startGlusterd() error {
	// It goes to the background; what it prints must not go to our pipe.
	if _, err := l.ns.run(commandTimeout, "sh", "-c",
		`glusterd -f "$1" </dev/null >/run/glusterd.out 2>&1 || { cat /run/glusterd.out /var/log/glusterfs/glusterd.log; exit 1; }`,
		"sh", glusterdVolfile); err != nil {
		return fmt.Errorf("start glusterd: %w", err)
	}
	if err := l.Glusterd.find(); err != nil {
		return err
	}
	return waitFor(appearTimeout, "glusterd accepts connections", func() (bool, error) {
		c, err := net.Dial("tcp", l.management())
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// management is the address of glusterd.
func (l *Lab) management() string { return net.JoinHostPort(l.Host, glusterdPort) }
