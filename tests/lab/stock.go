package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// busyTimeout is how long a mount may be busy that is to be unmounted.
const busyTimeout = 5 * time.Second

// Stock is a mount of the stock client.
type Stock struct {
	// Dir is the mount point.
	Dir string

	// Constant.
	l    *Lab
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the client has ended

	all  sync.WaitGroup // waits for the client, and for its first answer
	gone bool           // for the goroutine of the test
}

// StockOption changes how MountStock mounts.
type StockOption func(*stockConfig)

type stockConfig struct {
	host string
	args []string
}

// Via mounts through a relay.
func Via(r *Relay) StockOption {
	return func(c *stockConfig) { c.host = r.Host }
}

// Args adds arguments to the client's command line: "--attribute-timeout=0".
func Args(args ...string) StockOption {
	return func(c *stockConfig) { c.args = append(c.args, args...) }
}

// mountTimeout is for the client to get its volfile, and the bricks.
const mountTimeout = 60 * time.Second

// MountStock mounts a volume with the stock client and waits until the mount
// answers. It is unmounted when the test ends; a test that keeps it busy fails.
func (l *Lab) MountStock(v *Volume, opts ...StockOption) *Stock {
	l.t.Helper()
	c := stockConfig{host: l.Host}
	for _, o := range opts {
		o(&c)
	}
	l.mounts++
	m := &Stock{
		l:    l,
		Dir:  filepath.Join(l.base, fmt.Sprintf("stock-%d", l.mounts)),
		log:  filepath.Join(l.base, fmt.Sprintf("stock-%d.log", l.mounts)),
		done: make(chan struct{}),
	}
	if err := os.Mkdir(m.Dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	args := append([]string{"--no-daemon", "--volfile-server=" + c.host, "--volfile-id=" + v.Name, "--log-file=" + m.log}, c.args...)
	m.cmd = exec.Command("glusterfs", append(args, m.Dir)...)
	if err := m.start(); err != nil {
		l.t.Fatalf("mount %s: %v", v.Name, err)
	}
	l.t.Cleanup(m.cleanup)
	if err := m.ready(); err != nil {
		l.t.Fatalf("mount %s: %v", v.Name, err)
	}
	return m
}

func (m *Stock) start() error {
	m.cmd.Env = environment()
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no ^C
	var err error
	if m.cmd.Path, err = lookPath("glusterfs"); err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	if start, err := startTime(m.PID()); err == nil {
		m.l.tell("client %d %s", m.PID(), start)
	}
	m.all.Go(func() {
		m.cmd.Wait()
		close(m.done)
	})
	return nil
}

// ready waits for the mount, then for its first answer.
func (m *Stock) ready() error {
	err := waitFor(mountTimeout, m.Dir+" is mounted", func() (bool, error) {
		select {
		case <-m.done:
			return false, errors.New("the client has ended")
		default:
			return m.mounted()
		}
	})
	if err != nil {
		return err
	}
	// A mount that hangs must not hang the test.
	answer := make(chan error, 1)
	m.all.Go(func() { // ends at the latest with the client
		_, err := os.Stat(m.Dir)
		answer <- err
	})
	select {
	case err := <-answer:
		return err
	case <-time.After(mountTimeout):
		return fmt.Errorf("%s does not answer after %v", m.Dir, mountTimeout)
	}
}

func (m *Stock) mounted() (bool, error) {
	all, err := mountsBelow(m.l.base)
	for _, dir := range all {
		if dir == m.Dir {
			return true, err
		}
	}
	return false, err
}

// PID is the client's process.
func (m *Stock) PID() int { return m.cmd.Process.Pid }

// Log is what the client has logged.
func (m *Stock) Log() string {
	b, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Umount unmounts and waits for the client's end.
func (m *Stock) Umount() {
	m.l.t.Helper()
	if err := m.TryUmount(); err != nil {
		m.l.t.Error(err)
	}
}

// TryUmount is Umount for a caller that deals with the error; it is then still
// mounted. It may be busy for a moment: what a test beside this one starts has our
// files, too, until it is the other program.
func (m *Stock) TryUmount() error {
	if m.gone {
		return nil
	}
	err := syscall.Unmount(m.Dir, umountNoFollow)
	for end := time.Now().Add(busyTimeout); errors.Is(err, syscall.EBUSY) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		err = syscall.Unmount(m.Dir, umountNoFollow)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", m.Dir, err)
	}
	m.gone = true
	return m.ended()
}

// Kill kills the client with SIGKILL; its mount answers ENOTCONN until it is
// unmounted.
func (m *Stock) Kill() {
	m.l.t.Helper()
	m.cmd.Process.Kill()
	if err := m.ended(); err != nil {
		m.l.t.Error(err)
	}
}

// Signal sends the client a signal.
func (m *Stock) Signal(s syscall.Signal) {
	m.l.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.l.t.Fatalf("send %v to the stock client: %v", s, err)
	}
}

func (m *Stock) ended() error {
	select {
	case <-m.done:
		return nil
	case <-time.After(endTimeout):
		return fmt.Errorf("the stock client of %s, process %d, has not ended after %v", m.Dir, m.PID(), endTimeout)
	}
}

func (m *Stock) cleanup() {
	if m.l.t.Failed() {
		m.l.t.Logf("log of the stock client at %s:\n%s", m.Dir, lastLines(m.log))
	}
	// A client that waits for a stopped brick would not end.
	m.l.thaw()
	mounted, err := m.mounted()
	if err != nil {
		m.l.t.Error(err)
	}
	if mounted {
		if err := m.TryUmount(); err != nil {
			m.l.t.Errorf("at the end of the test: %v", err)
		}
	}
	// Killing an ended process does nothing.
	if !m.gone {
		m.cmd.Process.Kill()
		syscall.Unmount(m.Dir, syscall.MNT_DETACH|umountNoFollow)
		m.gone = true
	}
	if err := m.ended(); err != nil {
		m.l.t.Error(err)
		m.cmd.Process.Kill()
	}
	m.all.Wait()
}

func lookPath(program string) (string, error) {
	for _, dir := range strings.Split(searchPath(), ":") {
		path := filepath.Join(dir, program)
		if s, err := os.Stat(path); err == nil && s.Mode().IsRegular() && s.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, exec.ErrNotFound)
}
