package command

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// newWorker is what a keeper starts.
func newWorker(types Types) *cobra.Command {
	return &cobra.Command{
		Use:    "worker MOUNTPOINT",
		Short:  "Serve a mount for a keeper, which starts this itself",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(*cobra.Command, []string) error {
			link, start, err := keeper.Inherit(version().Version, daemon.Layouts())
			if err != nil {
				return err
			}
			syscall.Umask(0)
			cfg, err := jobConfig(types, start.Job)
			if err != nil {
				link.End(err)
				return err
			}
			if daemon.Work(cfg, link) != nil {
				return errSaid
			}
			return nil
		},
	}
}

// jobConfig reads a mount's command line as the keeper passes it on.
func jobConfig(types Types, b json.RawMessage) (daemon.Config, error) {
	var j daemon.Job
	if err := json.Unmarshal(b, &j); err != nil {
		return daemon.Config{}, fmt.Errorf("what is to be mounted: %w", err)
	}
	opts, err := mountopt.Parse(j.Options, j.Sloppy)
	if err != nil {
		return daemon.Config{}, err
	}
	cfg := configOf(types, j.Source, j.Mountpoint, opts)
	cfg.Words, cfg.Sloppy, cfg.LogFile, cfg.Detached = j.Options, j.Sloppy, j.LogFile, j.Detached
	if cfg.LogFile != "" && !filepath.IsAbs(cfg.LogFile) {
		return cfg, fmt.Errorf("log %s: not an absolute path", cfg.LogFile)
	}
	return cfg, nil
}
