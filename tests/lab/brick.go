package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sigStatedump has a GlusterFS process write a statedump.
const sigStatedump = unix.SIGUSR1

// Brick is one brick of a volume. Its process is another after each restart.
type Brick struct {
	*Daemon

	// Path is the brick's folder in the lab, as it is in volfiles.
	Path string
	// Dir is the same folder as the test can reach it.
	Dir string

	port int
}

func newBrick(v *Volume, path string) *Brick {
	return &Brick{
		Daemon: &Daemon{l: v.l, name: "brick " + path, is: func(args []string) bool {
			i := slices.Index(args, "--brick-name")
			return filepath.Base(args[0]) == "glusterfsd" && i >= 0 && i+1 < len(args) && args[i+1] == path
		}},
		Path: path,
		Dir:  v.l.ns.path(path),
	}
}

// here says whether there is a process, the known one or another.
func (b *Brick) here() (bool, error) {
	pids, err := children(b.l.ns.pid())
	for _, pid := range pids {
		if b.matches(pid) {
			return true, nil
		}
	}
	return false, err
}

// up waits for the process, and until glusterd tells its port and it accepts
// connections there.
func (b *Brick) up() error {
	if err := b.find(); err != nil {
		return err
	}
	return waitFor(appearTimeout, b.name+" serves", func() (bool, error) {
		if err := b.checkAlive(); err != nil {
			return false, err
		}
		port, err := portByBrick(b.l.management(), b.Path)
		if err != nil || port == 0 {
			return false, err
		}
		c, err := net.Dial("tcp", net.JoinHostPort(b.l.Host, strconv.Itoa(port)))
		if err != nil {
			return false, nil // glusterd knows only the former process's port
		}
		b.port = port
		return true, c.Close()
	})
}

// Port is where the brick listens, at the lab's Host.
func (b *Brick) Port() int { return b.port }

// Addr is Host and Port.
func (b *Brick) Addr() string { return net.JoinHostPort(b.l.Host, strconv.Itoa(b.port)) }

// OpenFiles are the volume's files that the brick has open, as paths in it; an
// unlinked one ends in " (deleted)", and one that is open twice is there twice.
func (b *Brick) OpenFiles() []string {
	b.l.t.Helper()
	open, err := b.openFiles(b.Path)
	b.must(err)
	return open
}

// WaitOpenFiles waits until the brick has n files open: it closes them a moment
// after the client does.
func (b *Brick) WaitOpenFiles(n int) {
	b.l.t.Helper()
	err := waitFor(endTimeout, fmt.Sprintf("%d files are open", n), func() (bool, error) {
		open, err := b.openFiles(b.Path)
		return len(open) == n, err
	})
	b.must(err)
}

// Statedump has the brick write its state, and returns it.
func (b *Brick) Statedump() string {
	b.l.t.Helper()
	pattern := b.l.ns.path("/run/gluster") + "/" + strings.ReplaceAll(strings.TrimPrefix(b.Path, "/"), "/", "-") + ".*.dump.*"
	old, err := filepath.Glob(pattern)
	b.must(err)
	for _, f := range old {
		b.must(os.Remove(f))
	}
	b.Signal(sigStatedump)
	var dump []byte
	b.must(waitFor(endTimeout, "a statedump is written", func() (bool, error) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return false, err
		}
		dump, err = os.ReadFile(files[0])
		if errors.Is(err, os.ErrNotExist) {
			return false, nil // renamed since
		}
		return strings.Contains(string(dump), "DUMP-END-TIME"), err
	}))
	return string(dump)
}
