package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse/keeper"
)

func newUpgrade() *cobra.Command {
	var binary string
	var limit time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "upgrade MOUNTPOINT",
		Short: "Have another program serve a mount, without an application noticing",
		Long: `Replace the worker of a mount by one of this program, or of FILE. The new worker
gets ready first; then the old one finishes what it has and hands over. If the
new one does not serve in time, the old program goes on.

It also gives a mount a worker again for which none could be started.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if binary == "" {
				binary = "/proc/self/exe"
			}
			f, err := os.Open(binary)
			if err != nil {
				return err
			}
			defer f.Close()
			var o keeper.Outcome
			r := control.Request{Op: control.OpUpgrade, Limit: limit, FDs: []int{int(f.Fd())}}
			if err := ask(c.Context(), args[0], 2*limit+spare, r, &o); err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(c.OutOrStdout(), o); err != nil {
					return err
				}
			}
			if o.Error != "" {
				return fmt.Errorf("%s: not upgraded: %w", args[0], errors.New(o.Error))
			}
			if !asJSON {
				fmt.Fprintf(c.OutOrStdout(), "upgraded from %s to %s: worker %d is process %d, after %.0f ms with a pause of %.1f ms\n",
					o.Old, o.New, o.Generation, o.Worker, o.MS, o.PauseMS)
			}
			return nil
		},
	}
	c.Flags().StringVar(&binary, "binary", "", "the program to go over to (default: the one that runs this command)")
	c.Flags().DurationVar(&limit, "timeout", keeper.DefaultUpgradeLimit, "how long the new worker may take to get ready")
	jsonFlag(c, &asJSON)
	return c
}
