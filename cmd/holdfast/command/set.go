package command

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
)

func newSet() *cobra.Command {
	var reset, asJSON bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "set MOUNTPOINT [KEY VALUE]...",
		Short: "Change the graph of a directory mount, with GlusterFS's option names",
		Long: `Change the default graph of a directory mount. Several pairs are one change.
Settings are kept with the volume and hold at the next mount.

Without pairs the settings and their values are listed. With --reset the keys
that follow, or all, go back to their defaults.`,
		Example: "  holdfast set /mnt/data performance.write-behind off\n  holdfast set /mnt/data performance.md-cache-timeout 5 performance.stat-prefetch on\n  holdfast set /mnt/data --reset performance.write-behind",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			mountpoint, words := args[0], args[1:]
			if len(words) == 0 && !reset {
				return listSettings(c, mountpoint, asJSON)
			}
			r := control.Request{Op: control.OpSet, Timeout: timeout}
			switch {
			case reset && len(words) == 0:
				r.Reset = []string{source.ResetAll}
			case reset:
				r.Reset = words
			case len(words)%2 != 0:
				return fmt.Errorf("%s has no value", words[len(words)-1])
			default:
				for i := 0; i < len(words); i += 2 {
					r.Pairs = append(r.Pairs, [2]string{words[i], words[i+1]})
				}
			}
			return change(c.Context(), c, mountpoint, r, asJSON)
		},
	}
	c.Flags().BoolVar(&reset, "reset", false, "put the keys that follow, or all settings, back to their defaults")
	c.Flags().DurationVar(&timeout, "timeout", 60*time.Second, "how long the new graph may take to come up")
	jsonFlag(c, &asJSON)
	return c
}

func change(ctx context.Context, c *cobra.Command, mountpoint string, r control.Request, asJSON bool) error {
	var res daemon.SetReply
	if err := ask(ctx, mountpoint, r.Timeout+spare, r, &res); err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(c.OutOrStdout(), res); err != nil {
			return err
		}
	} else {
		printResult(c.OutOrStdout(), c.ErrOrStderr(), res.Result)
	}
	if res.NotKept != "" {
		return errors.New("in force now, but not at the next mount: " + res.NotKept)
	}
	return nil
}

func listSettings(c *cobra.Command, mountpoint string, asJSON bool) error {
	var all []source.Setting
	if err := ask(c.Context(), mountpoint, askTimeout, control.Request{Op: control.OpSettings}, &all); err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), all)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\t\tCHANGES")
	for _, s := range all {
		mark := "default"
		if !s.Default {
			mark = "set"
		}
		value := s.Value
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Key, value, mark, s.Effect)
	}
	return w.Flush()
}
