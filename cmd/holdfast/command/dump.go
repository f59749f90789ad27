package command

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
)

func newDump() *cobra.Command {
	c := &cobra.Command{
		Use:   "dump MOUNTPOINT",
		Short: "Print all state of a mount as JSON: graphs, nodes, open files, locks",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var body json.RawMessage
			if err := ask(c.Context(), args[0], 2*askTimeout, control.Request{Op: control.OpDump}, &body); err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), body)
		},
	}
	var asJSON bool
	jsonFlag(c, &asJSON) // it always is
	return c
}
