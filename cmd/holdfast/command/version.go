package command

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version says what was built from what.
type Version struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
}

func version() Version {
	v := Version{Version: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := version()
			if asJSON {
				return printJSON(c.OutOrStdout(), v)
			}
			line := fmt.Sprintf("holdfast %s, %s", v.Version, v.Go)
			if v.Revision != "" {
				line += ", revision " + v.Revision
			}
			if v.Modified {
				line += " with changes"
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), line)
			return err
		},
	}
	jsonFlag(c, &asJSON)
	return c
}
