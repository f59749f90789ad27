package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator/all"
)

func newGraph(types Types) *cobra.Command {
	var format string
	var asJSON bool
	c := &cobra.Command{
		Use:   "graph SOURCE|MOUNTPOINT",
		Short: "Draw the graph of a mount, or the one that a source would have",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			f, check, err := findGraph(c.Context(), args[0])
			if err != nil {
				return err
			}
			if err := drawGraph(c.OutOrStdout(), f, format); err != nil {
				return err
			}
			if !check {
				return nil
			}
			cfg := graph.Config{Types: types, Refused: all.Refused}
			warnings, err := cfg.Check(f)
			for _, w := range warnings {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
			}
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, dot (for graphviz) or volfile")
	jsonFlag(c, &asJSON)
	return c
}

// findGraph returns the graph of a mount, or of something that could be
// mounted; then it is to be checked.
func findGraph(ctx context.Context, name string) (f *volfile.File, check bool, err error) {
	var r daemon.GraphReply
	err = ask(ctx, name, askTimeout, control.Request{Op: control.OpGraph}, &r)
	if err == nil {
		f, err = volfile.Parse(r.Name, []byte(r.Volfile))
		return f, false, err
	}
	if !errors.Is(err, control.ErrNotMounted) {
		return nil, false, err
	}
	if glusterd.IsVolume(name) {
		f, err = fetchGraph(ctx, name)
		return f, true, err
	}
	if _, serr := os.Lstat(name); serr != nil {
		return nil, false, fmt.Errorf("%s is neither a holdfast mount nor something to mount: %w", name, serr)
	}
	src, err := source.Open(name)
	if err != nil {
		return nil, false, err
	}
	set := source.Settings{}
	if src.Dir != "" {
		if set, err = source.LoadSettings(src.Dir); err != nil {
			return nil, false, err
		}
	}
	f, err = src.Load(set)
	return f, true, err
}

// fetchLimit bounds how long servers may take to hand out a volfile.
const fetchLimit = 60 * time.Second

// fetchGraph asks the servers of a volume for its graph.
func fetchGraph(ctx context.Context, name string) (*volfile.File, error) {
	src, err := source.Open(name)
	if err != nil {
		return nil, err
	}
	v, err := src.Volume()
	if err != nil {
		return nil, err
	}
	opts := mountopt.Default()
	cfg := daemon.Servers(v, &opts)
	cfg.Log = slog.New(slog.DiscardHandler) // the error says it all
	c := glusterd.New(cfg)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	text, _, err := c.Fetch(ctx)
	if err != nil {
		return nil, err
	}
	return src.Parse(text)
}

// jsonVolume is one translator of `holdfast graph --json`.
type jsonVolume struct {
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Options    map[string]string `json:"options,omitempty"`
	Subvolumes []string          `json:"subvolumes,omitempty"`
}

func drawGraph(w io.Writer, f *volfile.File, format string) error {
	switch format {
	case "text":
		return volfile.Tree(w, f)
	case "dot":
		return volfile.Dot(w, f)
	case "volfile":
		_, err := w.Write(f.Format())
		return err
	case "json":
		var vs []jsonVolume
		for _, v := range f.Volumes {
			jv := jsonVolume{Name: v.Name, Type: v.Type, Subvolumes: v.Subvolumes, Options: map[string]string{}}
			for _, o := range v.Options {
				jv.Options[o.Key] = o.Value
			}
			vs = append(vs, jv)
		}
		return printJSON(w, vs)
	}
	return fmt.Errorf("format %q is none of text, dot, volfile", format)
}
