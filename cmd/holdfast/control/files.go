package control

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Files are the socket and the state file of a mount. They are this process's
// as long as the state file names it, as keeper or as worker.
type Files struct {
	dir   string
	minor int
}

// Make makes the files of a new mount and listens on the socket. s.Process is
// filled in: the calling one.
func Make(s State) (*Files, *net.UnixListener, error) { return makeIn(Dir, s) }

// FilesOf is the files of a mount that another process has made.
func FilesOf(minor int) *Files { return &Files{Dir, minor} }

func makeIn(dir string, s State) (*Files, *net.UnixListener, error) {
	fail := func(err error) (*Files, *net.UnixListener, error) {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if err := prepare(dir); err != nil {
		return fail(err)
	}
	if s.Process, err = Self(); err != nil {
		return fail(err)
	}
	// The number belongs to us: the kernel gave it to our mount.
	path := socketPath(dir, s.Minor)
	os.Remove(path)
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	lis.SetUnlinkOnClose(false)
	if err := writeState(statePath(dir, s.Minor), s); err != nil {
		lis.Close()
		os.Remove(path)
		return fail(err)
	}
	return &Files{dir, s.Minor}, lis, nil
}

func writeState(path string, s State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Sign changes what the state file says of who is behind the mount.
func (f *Files) Sign(change func(*State)) error {
	unlock, err := lockDir(f.dir)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer unlock()
	path := statePath(f.dir, f.minor)
	s, err := readState(path)
	if err != nil {
		return err
	}
	change(&s)
	return writeState(path, s)
}

func (s State) ours() bool { return s.PID == os.Getpid() || s.Worker.PID == os.Getpid() }

// Ending tells that the mount is gone and only processes are left. Its number
// may belong to another mount by now; the state goes on under a process id, so
// that who mounts the same brick next can wait for us.
func (f *Files) Ending() error {
	unlock, err := lockDir(f.dir)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer unlock()
	path := statePath(f.dir, f.minor)
	s, err := readState(path)
	if err != nil || !s.ours() {
		return nil // somebody else's, or done
	}
	os.Remove(socketPath(f.dir, f.minor))
	return os.Rename(path, endingPath(f.dir, s.PID))
}

// Remove removes what is left of the files.
func (f *Files) Remove() error {
	err := f.Ending()
	ends, _ := filepath.Glob(filepath.Join(f.dir, "ending-*.json"))
	for _, e := range ends {
		if s, rerr := readState(e); rerr == nil && s.ours() && s.Minor == f.minor {
			os.Remove(e)
		}
	}
	return err
}
