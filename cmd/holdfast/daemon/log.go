package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// LogDir is where logs are when nothing else was asked for.
const LogDir = "/var/log/holdfast"

// LogPath is where the log of a mount is by default: its path with dashes for
// slashes, as mount.glusterfs(8) does it.
func LogPath(mountpoint string) string {
	name := strings.ReplaceAll(strings.Trim(filepath.Clean(mountpoint), "/"), "/", "-")
	if name == "" {
		name = "root"
	}
	return filepath.Join(LogDir, name+".log")
}

// OpenLog opens a log file to append to, making its directory.
func OpenLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

// logOutput is a log file that can be opened again, after logrotate(8) moved it
// away, or standard error.
type logOutput struct {
	path string // "" is standard error

	mu sync.Mutex
	f  *os.File // guarded by mu
}

func newLogOutput(path string) (*logOutput, error) {
	l := &logOutput{path: path, f: os.Stderr}
	if path == "" {
		return l, nil
	}
	return l, l.Reopen()
}

// Reopen opens the file again. What the Go runtime has to say when it crashes
// goes there too.
func (l *logOutput) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := OpenLog(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != os.Stderr {
		l.f.Close()
	}
	l.f = f
	return nil
}

// TakeStderr makes standard output and error go to the file as well; for a
// process in the background.
func (l *logOutput) TakeStderr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(l.f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("log: redirect standard error: %w", err)
		}
	}
	return nil
}

// hangup opens the file again because of a SIGHUP.
func (l *logOutput) hangup(detached bool, log *slog.Logger) {
	err := l.Reopen()
	if err == nil && detached && l.path != "" {
		err = l.TakeStderr()
	}
	if err != nil {
		log.Error("SIGHUP", "err", err)
	}
}

// Write implements io.Writer.
func (l *logOutput) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(b)
}

// Close closes the file.
func (l *logOutput) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == os.Stderr {
		return nil
	}
	return l.f.Close()
}

func newLogger(w io.Writer, level *slog.LevelVar) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
