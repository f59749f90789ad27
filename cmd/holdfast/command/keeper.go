package command

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// newKeeper is the keeper as a service.
func newKeeper() *cobra.Command {
	var address, list, logFile, logLevel string
	var asJSON bool
	c := &cobra.Command{
		Use:   "keeper --listen unix:/PATH",
		Short: "Keep mounts for workers in other containers, as a service",
		Long: `Keep mounts at a unix socket. "holdfast mount --keeper unix:/PATH" gives a mount to
it and serves it; when that process ends, for whatever reason, the mount stays,
and the same command, from another container too, goes on with it.

It stays in the foreground and logs to standard error. Under systemd (Type=notify,
FileDescriptorStoreMax=) the mounts outlive this process as well.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if list != "" {
				return listMounts(c, list, asJSON)
			}
			path, err := socketPath(address)
			if err != nil {
				return err
			}
			return daemon.KeepAll(c.Context(), path, logFile, logLevel)
		},
	}
	f := c.Flags()
	f.StringVar(&address, "listen", "", "unix:/PATH to listen at")
	f.StringVar(&list, "list", "", "unix:/PATH of a keeper: list what it keeps, and end")
	f.StringVar(&logFile, "log-file", "", "where to log (default: standard error)")
	f.StringVar(&logLevel, "log-level", "INFO", "TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or NONE")
	jsonFlag(c, &asJSON)
	c.MarkFlagsOneRequired("listen", "list")
	c.MarkFlagsMutuallyExclusive("listen", "list")
	return c
}

func socketPath(address string) (string, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not unix:/PATH", address)
	}
	return path, nil
}

func listMounts(c *cobra.Command, address string, asJSON bool) error {
	path, err := socketPath(address)
	if err != nil {
		return err
	}
	ms, err := keeper.Mounts(c.Context(), path)
	switch {
	case err != nil:
		return err
	case asJSON:
		if ms == nil {
			ms = []keeper.MountInfo{}
		}
		return printJSON(c.OutOrStdout(), ms)
	}
	return printMounts(c.OutOrStdout(), ms)
}

func printMounts(out io.Writer, ms []keeper.MountInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONNECTION\tMOUNT POINT\tSTATE\tWORKER")
	var errs error
	for _, m := range ms {
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", m.ID, m.Mountpoint, m.State, m.Worker)
		errs = errors.Join(errs, err)
	}
	return errors.Join(errs, w.Flush())
}
