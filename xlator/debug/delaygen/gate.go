package delaygen

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// gate is shut while its file exists.
type gate struct {
	// constant after construction
	path    string
	watcher *fsnotify.Watcher
	ended   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change in the folder; guarded by mu
	opened  bool          // for good; guarded by mu
}

// openGate begins to watch the folder of path.
func openGate(path string) (*gate, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch gate %s: %w", path, err)
	}
	if err := w.Add(filepath.Dir(path)); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch gate %s: its folder must exist: %w", path, err)
	}
	g := &gate{path: path, watcher: w, ended: make(chan struct{}), changed: make(chan struct{})}
	go g.watch()
	return g, nil
}

// watch tells those who wait about every change; they look for themselves.
func (g *gate) watch() {
	defer close(g.ended)
	events, errs := g.watcher.Events, g.watcher.Errors
	for events != nil || errs != nil {
		select {
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
		case _, ok := <-errs: // lost events: look again
			if !ok {
				errs = nil
				continue
			}
		}
		g.tell(false)
	}
}

func (g *gate) tell(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = g.opened || open
	close(g.changed)
	g.changed = make(chan struct{})
}

// close opens the gate for good and waits for its goroutine.
func (g *gate) close() {
	g.watcher.Close()
	<-g.ended
	g.tell(true)
}

// pass returns when the gate is open, or false when done is closed first. It
// counts itself in waiting meanwhile.
func (g *gate) pass(done <-chan struct{}, waiting *atomic.Int64) bool {
	for {
		g.mu.Lock()
		changed, opened := g.changed, g.opened
		g.mu.Unlock()
		// changed was taken before looking, so no change in between is lost.
		if opened || !exists(g.path) {
			return true
		}
		waiting.Add(1)
		select {
		case <-changed:
			waiting.Add(-1)
		case <-done:
			waiting.Add(-1)
			return false
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
