package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleDown is how long the volfile may be in the making before it is read:
// editors write in several steps.
const settleDown = 100 * time.Millisecond

// watch reloads when the volfile changes, here or on the servers, until ctx ends. It watches the
// directory, since editors put a new file in the old one's place.
func (d *Daemon) watch(ctx context.Context) {
	for ctx.Err() == nil {
		d.mu.Lock()
		src := d.src
		d.mu.Unlock()
		if src.Remote != "" {
			d.watchServers(ctx)
		} else {
			d.watchFile(ctx, src.Volfile)
		}
	}
}

// watchFile returns when another file is to be watched, or ctx ends.
func (d *Daemon) watchFile(ctx context.Context, file string) {
	var events chan fsnotify.Event
	var errs chan error
	var due <-chan time.Time
	if file != "" {
		w, err := fsnotify.NewWatcher()
		if err == nil {
			defer w.Close()
			err = w.Add(filepath.Dir(file))
		}
		if err != nil {
			d.log.Error("the volfile is not watched; use `holdfast reload` or SIGHUP", "volfile", file, "err", err)
		} else {
			events, errs = w.Events, w.Errors
			due = time.After(settleDown) // it may have changed before we looked
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.rewatch:
			return
		case e := <-events:
			if due == nil && concerns(e, file) {
				due = time.After(settleDown)
			}
		case err := <-errs:
			d.log.Warn("watch volfile", "volfile", file, "err", err)
			due = time.After(settleDown) // events may have been lost
		case <-due:
			due = nil
			// Beside the loop: a graph that hangs must not keep its
			// correction from being seen.
			d.wg.Go(func() { d.reread(ctx, file) })
		}
	}
}

// concerns reports whether an event may have changed what file says. A symbolic
// link changes with its target, which may be any name of the directory.
func concerns(e fsnotify.Event, file string) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	if e.Name == file {
		return true
	}
	st, err := os.Lstat(file)
	return err == nil && st.Mode()&os.ModeSymlink != 0
}
