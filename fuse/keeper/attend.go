package keeper

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

// message is one from a worker.
func (k *Keeper) message(w *worker, m Message, fds []int) {
	switch m.Kind {
	case Hello:
		w.program.Version = m.Program
		if !slices.Contains(m.Layouts, state.Version) {
			w.kill(fmt.Sprintf("it knows the layouts %d of the state memory, the mount has %d", m.Layouts, state.Version))
			break
		}
		_ = w.conn.Send(Message{Kind: Start, Job: k.cfg.Job, Keeper: os.Getpid(), Notifies: true, OOMScore: k.oomScore, Restarted: k.dev != nil})
	case Prepared:
		if w == k.worker {
			k.goOn(w)
		} else if w == k.next {
			k.step(Event{What: EvPrepared})
		}
	case Mount:
		k.mount(w)
	case Renew:
		k.renew(w)
	case Ready:
		w.readyAt = time.Now()
		if w == k.worker {
			k.ready(w, m.Missing)
		}
	case Keep:
		if len(fds) != 1 || w != k.worker {
			_ = w.conn.Send(Message{Kind: Failed, Error: "keep: not one descriptor, or not from the worker"})
			break
		}
		k.store.Put(keptFD+m.Name, fds[0])
		fds = nil
		_ = w.conn.Send(Message{Kind: OK})
	case Drop:
		k.store.Drop(keptFD + m.Name)
		_ = w.conn.Send(Message{Kind: OK})
	case Notify:
		notify(w.conn, k.dev, m)
	case Upgrade:
		fds = k.upgradeFrom(m, fds)
	case Reopen:
		k.cfg.Reopen()
	case Drained:
		w.drained = true
	case End:
		w.ended = &m
	}
	closeAll(fds)
}

// goOn gives a worker the mount.
func (k *Keeper) goOn(w *worker) {
	k.stopTending()
	if err := k.store.SendAll(w.conn, Message{Kind: Go}); err != nil {
		w.kill(err.Error())
	}
}

// mount makes the mount for the first worker.
func (k *Keeper) mount(w *worker) {
	if k.dev != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: "it is mounted already"})
		return
	}
	k.wg.Go(func() { // the kernel may let it wait
		dev, fds, err := k.cfg.Mount()
		done := make(chan struct{})
		k.post(happening{do: func() { k.mounted(w, dev, fds, err); close(done) }})
		select {
		case <-done:
		case <-k.over:
			if err == nil {
				k.cfg.Unmount()
				_ = dev.Close()
			}
		}
	})
}

// renew gives a worker another state memory.
func (k *Keeper) renew(w *worker) {
	err := errors.New("there is no mount yet")
	if k.dev != nil && w == k.worker {
		k.mem, err = k.store.renew(k.mem, k.dev)
	}
	if err != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: err.Error()})
		return
	}
	k.log.Error("the state memory was damaged: what was open is lost", "workers", k.mem.Worker())
	if err := k.store.SendAll(w.conn, Message{Kind: Mounted}); err != nil {
		w.kill(err.Error())
	}
}

func (k *Keeper) mounted(w *worker, dev *fuse.Device, fds map[string]int, err error) {
	if err == nil {
		err = k.mem.SetInit(state.Init{Connection: dev.Minor, In: dev.InitIn, Out: dev.InitOut})
	}
	if err != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: err.Error()})
		return
	}
	k.dev = dev
	k.store.Put(DeviceFD, dev.FD)
	for n, fd := range fds {
		k.store.Put(n, fd)
	}
	if err := k.store.SendAll(w.conn, Message{Kind: Mounted}); err != nil {
		w.kill(err.Error())
	}
}

func (k *Keeper) ready(w *worker, missing []string) {
	first := !k.state.Served
	k.step(Event{What: EvReady})
	k.trouble = Trouble{}
	if first {
		k.cfg.Ready(missing)
		return
	}
	k.log.Info("a worker serves again", "pid", w.pid, "generation", k.mem.Worker(), "version", w.program.Version)
}

// workerGone is the end of a worker.
func (k *Keeper) workerGone(h happening) {
	w := h.worker
	defer w.close()
	death, why := w.death(h.exit, h.err)
	if w == k.next {
		k.next = nil
		k.upgrade.why = why
		k.step(Event{What: EvNewDied})
		return
	}
	if w != k.worker {
		return // of an upgrade that was given up
	}
	k.worker = nil
	k.startTending(w)
	steady := !w.readyAt.IsZero() && time.Since(w.readyAt) >= steadyAfter
	if death == Killed || death == Crashed || death == Refused {
		k.mem.CountDeath()
		k.log.Warn("the worker is gone", "pid", w.pid, "why", why, "deaths", k.mem.Deaths())
		if k.trouble.Since.IsZero() {
			k.trouble.Since = time.Now()
		}
		if !w.killed || k.trouble.Error == "" { // else the reason is older
			k.trouble.Error = why
		}
	}
	k.mem.SetDeath(blame(death, h.exit))
	if k.state.Trial {
		k.upgrade.why = why
	}
	if !k.state.Served && death != Unmounted {
		k.failure = errors.New(why)
		if death != Refused {
			k.failure = fmt.Errorf("the worker ended while it mounted: %s", why)
		}
		if k.dev != nil {
			k.cfg.Unmount()
		}
	}
	k.step(Event{What: EvDied, Death: death, Steady: steady})
}
