package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
)

func newStatus() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status MOUNTPOINT",
		Short: "Show what a mount does; answers also while it hangs",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var s daemon.Status
			if err := ask(c.Context(), args[0], askTimeout, control.Request{Op: control.OpStatus}, &s); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), s)
			}
			return printStatus(c.OutOrStdout(), &s)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// printKeeping tells who keeps the mount, and what became of earlier workers.
func printKeeping(line func(name, format string, a ...any), s *daemon.Status) {
	k := s.Keeper
	switch k.State {
	case "on":
		where := ""
		if k.Service != "" {
			where = " at " + k.Service
		}
		line("keeper", "%d%s", k.PID, where)
	case "lost":
		line("keeper", "lost: the mount would not survive the worker; `holdfast mount --adopt %s`", s.Mount.Mountpoint)
	case "failed":
		line("keeper", "%d; no worker since %s, everything is answered with EIO: %s", k.PID, k.Since.Format(time.DateTime), k.Error)
	default:
		line("keeper", "none")
		return
	}
	line("worker", "number %d, %d deaths before it; %d requests recovered, the last time in %.1f ms", s.Worker.Generation, s.Worker.Deaths, s.Recovery.Requests, s.Recovery.LastMS)
	for _, g := range s.Guarantees {
		if !g.Holds {
			line("not promised", "%s: %s", g.Name, g.Why)
		}
	}
}

// printServers tells where the volfile comes from.
func printServers(line func(name, format string, a ...any), s *daemon.ServersStatus) {
	if s.Server != "" {
		line("glusterd", "%s, connected since %s", s.Server, s.Since.Format(time.DateTime))
	} else {
		line("glusterd", "none since %s (%s); changes of the volume are not seen", s.Since.Format(time.DateTime), s.Error)
	}
	line("volfile", "fetched from %s at %s", s.Volfile.Server, s.Volfile.At.Format(time.DateTime))
}

func printStatus(out io.Writer, s *daemon.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, a ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	mode := "read and write"
	if s.Mount.ReadOnly {
		mode = "read-only"
	}
	line("mount", "%s on %s, %s, connection %d, since %s", s.Mount.Source, s.Mount.Mountpoint, mode, s.Mount.Connection, s.Mount.Since.Format(time.DateTime))
	if s.Mount.Volfile != "" {
		line("volfile", "%s", s.Mount.Volfile)
	}
	line("graph", "generation %d, %s, top %s, %d requests in it; %d live", s.Graph.Generation, s.Graph.State, s.Graph.Top, s.Graph.Requests, s.Graphs.Live)
	line("volume", "%s", s.Graph.VolumeID)
	line("switches", "%d done, %d failed, the last took %.1f ms", s.Switch.Count, s.Switch.Failed, s.Switch.LastMS)
	if s.Servers != nil {
		printServers(line, s.Servers)
	}
	if s.Reload.Error != "" {
		line("last error", "%s (%s, %s)", s.Reload.Error, s.Reload.By, s.Reload.At.Format(time.DateTime))
	}
	line("files", "%d open, %d pending, %d held, %d pinned, %d moves; %d nodes", s.Files.Open, s.Files.Pending, s.Files.Held, s.Files.Pinned, s.Files.Moved, s.Files.Nodes)
	line("locks", "%d held, %d waiting, %d lost", s.Locks.Held, s.Locks.Waiting, s.Locks.Lost)
	line("process", "%d, %.1f MB, %d goroutines, up %s, version %s", s.Process.PID, float64(s.Process.RSSBytes)/(1<<20), s.Process.Goroutines,
		time.Duration(s.Process.UptimeS*float64(time.Second)).Round(time.Second), s.Process.Version)
	printKeeping(line, s)
	line("log", "%s", s.Mount.LogFile)
	if err := w.Flush(); err != nil || len(s.Fops) == 0 {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "FOP\tCOUNT\tERRORS\tP50 us\tP90 us\tP99 us\tMAX us\t")
	for _, name := range slices.Sorted(maps.Keys(s.Fops)) {
		f := s.Fops[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t\n", name, f.Count, f.Errors, f.P50US, f.P90US, f.P99US, f.MaxUS)
	}
	return w.Flush()
}
