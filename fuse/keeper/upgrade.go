package keeper

import (
	"fmt"
	"time"
)

// upgradeFrom is an upgrade that a worker was asked for; it passes on who asked,
// since it will not be there for the answer.
func (k *Keeper) upgradeFrom(m Message, fds []int) (rest []int) {
	client, program := -1, -1
	for i, n := range m.Names {
		switch n {
		case "client":
			client = fds[i]
		case "program":
			program = fds[i]
		default:
			rest = append(rest, fds[i])
		}
	}
	if client < 0 {
		return fds
	}
	reply := func(o Outcome) { k.cfg.Reply(client, o) }
	if program < 0 {
		reply(Outcome{Error: "no program was given"})
		return rest
	}
	p, err := NewProgram(program)
	if err != nil {
		reply(Outcome{Old: k.program.Version, Error: err.Error() + "; the old program goes on"})
		return rest
	}
	k.askUpgrade(p, m.Limit, reply)
	return rest
}

func (k *Keeper) askUpgrade(p *Program, limit time.Duration, reply func(Outcome)) {
	if k.upgrade != nil || k.asked != nil || k.state.Phase == Ended {
		p.close()
		reply(Outcome{Old: k.program.Version, Error: fmt.Sprintf("not now: the mount is %s; the old program goes on", k.state.Phase)})
		return
	}
	if limit <= 0 {
		limit = DefaultUpgradeLimit
	}
	k.asked = &upgrade{program: p, limit: limit, began: time.Now(), reply: reply}
	k.beginUpgrade()
}

// beginUpgrade begins one that was asked for, once there is a worker to be
// replaced, or there will be none.
func (k *Keeper) beginUpgrade() {
	u := k.asked
	switch {
	case u == nil:
	case k.state.Phase == Serving || k.state.Phase == Dead:
		k.asked, k.upgrade = nil, u
		k.step(Event{What: EvUpgrade})
	case k.state.Phase == Ended:
		k.asked = nil
		u.program.close()
		u.reply(Outcome{Old: k.program.Version, Error: "the mount is gone"})
	}
}

// startNew starts a worker of the new program beside the old.
func (k *Keeper) startNew() {
	u := k.upgrade
	k.set(&k.late, u.limit, EvTooLate)
	w, err := k.spawn(u.program)
	if err == nil {
		k.next = w
		return
	}
	u.why = err.Error()
	k.wg.Go(func() {
		k.post(happening{do: func() {
			if k.upgrade == u {
				k.step(Event{What: EvNewDied})
			}
		}})
	})
}

// killNew gives the worker of an upgrade up; it is reaped on the side.
func (k *Keeper) killNew() {
	if k.next == nil {
		return
	}
	if k.upgrade.why == "" {
		k.upgrade.why = "it did not get ready in time"
		if k.state.Phase != Serving && k.state.Phase != Dead {
			k.upgrade.why = "the old worker died meanwhile"
		}
	}
	k.next.kill("an upgrade that came to nothing")
	k.next = nil
}

func (k *Keeper) outcome() Outcome {
	u := k.upgrade
	o := Outcome{Old: k.program.Version, New: u.program.Version, MS: ms(time.Since(u.began))}
	if !u.drain.IsZero() {
		o.PauseMS = ms(time.Since(u.drain))
	}
	return o
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// done ends an upgrade well.
func (k *Keeper) done() {
	k.unset(&k.late)
	u, o := k.upgrade, k.outcome()
	o.Generation, o.Worker = k.mem.Worker(), k.worker.pid
	k.upgrade = nil
	k.before.close()
	k.before, k.program = k.program, u.program
	k.log.Info("upgraded", "old", o.Old, "new", o.New, "worker", o.Worker, "generation", o.Generation, "ms", o.MS, "pause_ms", o.PauseMS)
	u.reply(o)
}

// undone ends an upgrade that came to nothing.
func (k *Keeper) undone() {
	if k.state.Phase != Leaving { // the old one's drain has its limit still
		k.unset(&k.late)
	}
	u, o := k.upgrade, k.outcome()
	k.upgrade = nil
	o.Generation = k.mem.Worker()
	o.Error = fmt.Sprintf("the new program does not serve (%s); the old program goes on", u.why)
	k.log.Error("not upgraded", "old", o.Old, "why", u.why, "ms", o.MS)
	u.program.close()
	u.reply(o)
}

// rollBack goes back to the program before the last upgrade.
func (k *Keeper) rollBack() {
	if k.before == nil {
		return
	}
	k.log.Error("the new program crashes: back to the one before", "new", k.program.Version, "old", k.before.Version)
	k.program.close()
	k.program, k.before = k.before, nil
}
