package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/xlator"
)

// Exit codes of mount(8) and its helpers.
const (
	exitUsage = 1
	exitMount = 32
)

// exitError is an error with the exit code that it deserves.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Types finds a translator's type by its name in a volfile, or returns nil.
type Types = func(name string) *xlator.Type

// errSaid is an error that has been told already.
var errSaid = errors.New("see the log")

// mountFailed marks an error as the mount's, not the caller's.
func mountFailed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitMount, err}
}

// Main runs the command line and returns the exit code. The name it was called
// by says whether it is mount(8)'s helper.
func Main(args []string, types Types) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	name := filepath.Base(args[0])
	root := newRoot(types)
	if name == helperName {
		root = newMountHelper(types)
	}
	root.SetArgs(args[1:])
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if err != errSaid {
		fmt.Fprintln(os.Stderr, oneLine(root.Name(), err))
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitUsage
}

// oneLine is how an error is shown.
func oneLine(name string, err error) string {
	var lines []string
	for l := range strings.Lines(err.Error()) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return name + ": " + strings.Join(lines, "; ")
}

func newRoot(types Types) *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Mount volumes whose graph can be changed while applications work",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newMount(types), newUmount(), newReload(), newSet(), newStatus(), newGraph(types), newDump(), newUpgrade(), newKeeper(), newWorker(types), newVersion())
	return root
}

// printJSON prints v as people and programs can read it.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// askTimeout is how long commands that only look wait for the process.
const askTimeout = 10 * time.Second

// ask finds the process behind mountpoint, asks it and decodes the answer.
func ask(ctx context.Context, mountpoint string, timeout time.Duration, r control.Request, body any) error {
	c, err := control.Open(mountpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Ask(ctx, r, body)
}

// jsonFlag adds --json.
func jsonFlag(c *cobra.Command, into *bool) {
	c.Flags().BoolVar(into, "json", false, "print JSON")
}
