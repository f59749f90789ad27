package locks

import (
	"fmt"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// duel runs the machine and the model side by side and compares after every
// step.
type duel struct {
	m     *machine
	md    *model
	files []xlator.GFID
	// open is the waits that somebody attends, may come back to, or has not
	// heard of.
	open []*place
}

// place is one wait in both.
type place struct {
	w  *wait
	mw *modelWait
}

func newDuel(k kind, cells, files int) *duel {
	d := &duel{m: newMachine()}
	for i := range files {
		d.files = append(d.files, xlator.GFID{15: byte(i)})
	}
	d.md = newModel(k, cells, d.files...)
	return d
}

func (d *duel) key(file int) spaceKey { return spaceKey{file: d.files[file], kind: d.md.kind} }

// cells makes a claim of the cells lo to hi.
func (d *duel) claim(owner uint64, m mode, lo, hi int) claim {
	c := claim{owner: owner, mode: m, start: int64(lo), end: int64(hi)}
	if hi >= d.md.cells-1 {
		c.end = endOfFile
	}
	return c
}

func (d *duel) request(file int, c claim, block bool, ticket uint64) error {
	o := d.m.request(d.key(file), c, block, ticket)
	known := d.md.find(d.files[file], c, ticket)
	want := d.md.request(d.files[file], c, block, ticket)
	got := int(o.errno)
	if o.wait != nil {
		got = -1
		if known == nil {
			d.open = append(d.open, &place{o.wait, d.md.waits[len(d.md.waits)-1]})
		}
	}
	if got != want {
		return fmt.Errorf("request %s (wait %v, ticket %d): got %d, want %d", showClaim(c), block, ticket, got, want)
	}
	if by, ok := d.md.first(d.files[file], c); got == int(syscall.EAGAIN) && d.md.kind != flocks && (!ok || !by.same(o.by)) {
		return fmt.Errorf("request %s: refused because of %s, want %s", showClaim(c), showClaim(o.by), showClaim(by))
	}
	return d.compare(o.woken)
}

func (d *duel) unlock(file int, c claim) error {
	_, woken := d.m.unlock(d.key(file), c)
	d.md.unlock(d.files[file], c)
	return d.compare(woken)
}

func (d *duel) get(file int, c claim) error {
	got, gotOK := d.m.blocker(d.key(file), c)
	want, wantOK := d.md.first(d.files[file], c)
	if gotOK != wantOK || got != want {
		return fmt.Errorf("get %s: got %v %s, want %v %s", showClaim(c), gotOK, showClaim(got), wantOK, showClaim(want))
	}
	return d.compare(nil)
}

func (d *duel) interrupt(p *place) error {
	d.m.cancel(p.w, syscall.EINTR)
	d.md.cancel(p.mw)
	return d.compare(nil)
}

// detach ends one call's attachment.
func (d *duel) detach(p *place) error {
	d.m.leave(p.w)
	if p.mw.attached--; p.mw.attached == 0 && p.mw.ticket == 0 {
		d.md.cancel(p.mw)
	}
	return d.compare(nil)
}

// ask asks again for what p asked for.
func (d *duel) ask(p *place) error {
	return d.request(d.file(p), p.w.want, true, p.w.ticket)
}

func (d *duel) file(p *place) int { return int(p.w.key.file[15]) }

func (d *duel) abandon(p *place, keep []claim) error {
	woken, err := d.m.abandon(p.w.ticketKey(), keep)
	if lost := d.md.abandon(p.mw, keep); lost != (err != nil) {
		return fmt.Errorf("abandon %s keeping %v: lost %v, error %v", showClaim(p.w.want), keep, lost, err)
	}
	return d.compare(woken)
}

// compare fetches the grants of those who wait, and finds the two alike.
func (d *duel) compare(woken []*wait) error {
	for _, w := range woken {
		for w.attached > 0 {
			d.m.leave(w)
		}
	}
	var open []*place
	for _, p := range d.open {
		for _, mw := range d.md.waits {
			if mw == p.mw {
				open = append(open, p)
			}
		}
	}
	d.open = open
	if err := d.m.check(); err != nil {
		return err
	}
	if !d.md.agrees(d.m) {
		return fmt.Errorf("machine:\n%smodel:\n%s", showMachine(d.m, d.md.kind, d.files...), d.md.show())
	}
	return nil
}

// attended and unattended choose places by whether a call waits for them.
func (d *duel) places(want func(*place) bool) (out []*place) {
	for _, p := range d.open {
		if want(p) {
			out = append(out, p)
		}
	}
	return out
}

func (d *duel) attended() []*place {
	return d.places(func(p *place) bool { return p.w.attached > 0 && !p.w.settled })
}

func (d *duel) unattended() []*place {
	return d.places(func(p *place) bool { return p.w.attached == 0 })
}
