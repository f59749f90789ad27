package keeper

import (
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

// answer answers everything with EIO, so that processes can end and the mount can
// be unmounted.
func (k *Keeper) answer() {
	k.unset(&k.clock)
	k.log.Error("no worker in time: everything is answered with EIO", "deadline", k.cfg.Deadline, "deaths", k.mem.Deaths(), "last", k.trouble.Error)
	t := k.trouble
	t.Workers, t.Deaths = k.mem.Worker(), k.mem.Deaths()
	t.Control, _ = k.store.Get(ControlFD)
	silence := k.cfg.Answer(t)
	quit, done := make(chan struct{}), make(chan struct{})
	k.wg.Go(func() {
		gone := answerEIO(k.dev, k.mem, quit, k.log)
		close(done)
		if !gone {
			return
		}
		k.post(happening{do: func() {
			if k.stop != nil {
				k.stop()
				k.stop = nil
				k.step(Event{What: EvGone})
			}
		}})
	})
	k.stop = func() {
		close(quit)
		<-done
		silence()
	}
}

// answerEIO answers everything with EIO until stop is closed, or the mount is
// gone.
func answerEIO(dev *fuse.Device, mem *state.Memory, stop <-chan struct{}, log *slog.Logger) (gone bool) {
	for {
		gone, err := fuse.AnswerAll(dev, mem, unix.EIO, stop)
		if err == nil {
			return gone
		}
		log.Error("answer with EIO", "connection", dev.Minor, "err", err)
		select {
		case <-time.After(time.Second): // it may be for want of memory, say
		case <-stop:
			return false
		}
	}
}
