package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse"
)

func newUmount() *cobra.Command {
	var lazy, force bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "umount MOUNTPOINT",
		Aliases: []string{"unmount"},
		Short:   "Unmount, and wait until the process behind the mount has ended",
		Long: `Unmount MOUNTPOINT and wait until its process has written what it still had and
ended, so that the source can be mounted again at once. A plain umount(8) ends
the process too; it does not wait.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return umount(c.Context(), args[0], lazy, force, timeout)
		},
	}
	c.Flags().BoolVarP(&lazy, "lazy", "l", false, "detach now; the process ends when the last file is closed")
	c.Flags().BoolVarP(&force, "force", "f", false, "end the connection first: requests that wait fail")
	c.Flags().DurationVar(&timeout, "timeout", 60*time.Second, "how long to wait")
	return c
}

func umount(ctx context.Context, path string, lazy, force bool, timeout time.Duration) error {
	m, err := control.FindMount(path)
	if err != nil {
		return err
	}
	state, stateErr := control.FindState(m)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	flags := 0
	if lazy || stateErr != nil { // with the process gone, nothing is left to wait for
		flags |= unix.MNT_DETACH
	}
	if force {
		flags |= unix.MNT_FORCE
	}
	if stateErr != nil && state.PID != 0 && state.Service == "" {
		// Nobody will answer what still waits, if anything does. Not after the
		// unmount: the number may be another's by then.
		_ = fuse.Abort(m.Minor)
	}
	if err := unmount(ctx, m, flags); err != nil {
		return err
	}
	if stateErr != nil || lazy && !force {
		return nil
	}
	if err := control.WaitGone(ctx, state); err != nil {
		return fmt.Errorf("%s is unmounted, but its %w; see %s", m.Mountpoint, err, state.LogFile)
	}
	return nil
}

// unmount calls umount2(2), which may wait for a brick that hangs.
func unmount(ctx context.Context, m control.Mount, flags int) error {
	done := make(chan error, 1)
	go func() { done <- m.Unmount(flags) }() // ends with this process, at the latest
	select {
	case err := <-done:
		switch {
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("%s is busy%s", m.Mountpoint, users(m.Mountpoint))
		case errors.Is(err, unix.EPERM):
			return errors.New("unmounting needs root")
		case err != nil:
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("unmount %s: written data do not reach the brick; -f gives them up", m.Mountpoint)
	}
}

// usersLimit is how long naming the users of a mount may take.
const usersLimit = 2 * time.Second

// users names some processes that use the mount. It only reads links in /proc,
// never the mount; yet even that hangs for a process that is in execve(2) and
// closes a file of a mount that hangs. So each is looked at for itself, and
// none is waited for longer than usersLimit.
func users(mountpoint string) string {
	const most = 3
	procs, _ := filepath.Glob("/proc/[0-9]*")
	looked := make(chan string, len(procs))
	for _, p := range procs {
		go func() { // ends with this process, at the latest
			if !uses(p, mountpoint) {
				looked <- ""
				return
			}
			name, _ := os.ReadFile(p + "/comm")
			looked <- fmt.Sprintf("%s (%s)", strings.TrimSpace(string(name)), filepath.Base(p))
		}()
	}
	var found []string
	limit := time.After(usersLimit)
collect:
	for range procs {
		select {
		case s := <-looked:
			if s != "" {
				found = append(found, s)
			}
		case <-limit:
			break collect
		}
	}
	slices.Sort(found)
	if len(found) > most {
		found = append(found[:most], "others")
	}
	if len(found) == 0 {
		return ""
	}
	return ": used by " + strings.Join(found, ", ")
}

func uses(proc, mountpoint string) bool {
	links, _ := filepath.Glob(proc + "/fd/*")
	for _, l := range append([]string{proc + "/cwd", proc + "/root"}, links...) {
		t, err := os.Readlink(l)
		if err == nil && (t == mountpoint || strings.HasPrefix(t, mountpoint+"/")) {
			return true
		}
	}
	return false
}
