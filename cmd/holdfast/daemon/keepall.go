package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/xlator/protocol/client"
)

// KeepAll is a keeper service at a path, until ctx ends or a signal comes. The
// mounts stay as long as somebody has them: their workers, or the service
// manager.
func KeepAll(ctx context.Context, path, logFile, logLevel string) error {
	// First of all: what the service manager has given has low numbers.
	given := keeper.Stored()
	nameProcess("holdfast-keeper")
	notify, err := keeper.NewNotifier()
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	l, err := mountopt.ParseLevel(logLevel)
	if err != nil {
		return err
	}
	level.Set(l)
	out, err := newLogOutput(logFile)
	if err != nil {
		return err
	}
	defer out.Close()
	log := newLogger(out, level)
	if err := os.Chdir("/"); err != nil {
		return err
	}
	s, err := keeper.NewService(path, notify, given, client.Tend, log)
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	defer signal.Stop(hup)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-hup:
				out.hangup(false, log)
			case <-done:
				return
			}
		}
	}()
	log.Info("keeper service", "socket", path, "pid", os.Getpid())
	err = s.Serve(ctx)
	close(done)
	<-ended
	log.Info("keeper service ends; the mounts stay")
	return err
}
