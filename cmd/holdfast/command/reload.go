package command

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/graph"
)

func newReload() *cobra.Command {
	var volfile string
	var timeout time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload MOUNTPOINT",
		Short: "Read or fetch the volfile again and put it in force",
		Long: `Read the volfile again, or another one from now on, and return when it is in
force: nothing to do, reconfigured in place, or a new graph serves. When it
fails, the old graph serves on. A volume of a GlusterFS server is fetched again;
mounts hear by themselves of what changes there.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r := control.Request{Op: control.OpReload, Timeout: timeout}
			if r.Volfile = volfile; volfile != "" && !glusterd.IsVolume(volfile) {
				abs, err := filepath.Abs(volfile)
				if err != nil {
					return err
				}
				r.Volfile = abs
			}
			var res graph.Result
			if err := ask(c.Context(), args[0], timeout+spare, r, &res); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), res)
			}
			printResult(c.OutOrStdout(), c.ErrOrStderr(), res)
			return nil
		},
	}
	c.Flags().StringVar(&volfile, "volfile", "", "read this file from now on; HOST:/VOLUME, as it was mounted, goes back to the servers")
	c.Flags().DurationVar(&timeout, "timeout", 60*time.Second, "how long the new graph may take to come up")
	jsonFlag(c, &asJSON)
	return c
}

// spare is how much longer the command waits than it allows the process: a
// drain that began runs to its own deadline.
const spare = 30 * time.Second

func printResult(w, warn io.Writer, r graph.Result) {
	what := map[string]string{
		"none":         "nothing to change",
		"reconfigured": "reconfigured in place",
		"switched":     "switched to a new graph",
	}[r.Action]
	fmt.Fprintf(w, "generation %d: %s\n", r.Generation, what)
	for _, p := range r.Phases {
		fmt.Fprintf(w, "  %-12s %s\n", p.Name, p.Took.Round(time.Microsecond))
	}
	if r.Held > 0 {
		fmt.Fprintf(w, "  %d files wait for older data to be written\n", r.Held)
	}
	for _, s := range r.Warnings {
		fmt.Fprintln(warn, "warning:", s)
	}
}
