package locks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// model is the naive truth the machine is compared with: for each file an array
// of cells with each owner's mode, and one list of waits. The last cell stands
// for everything from there to the end of the file.
type model struct {
	kind  kind
	cells int
	held  map[xlator.GFID][]cell
	waits []*modelWait // in order of arrival, granted ones without a caller too
}

// cell is each owner's mode on one byte; owners are small numbers here.
type cell [maxOwners]mode

const maxOwners = 8

type modelWait struct {
	file     xlator.GFID
	want     claim
	ticket   uint64
	attached int
	granted  bool
}

func newModel(k kind, cells int, files ...xlator.GFID) *model {
	md := &model{kind: k, cells: cells, held: map[xlator.GFID][]cell{}}
	for _, f := range files {
		md.held[f] = make([]cell, cells)
	}
	return md
}

// cellRange is the cells of a claim.
func (md *model) cellRange(c claim) (lo, hi int) {
	return int(min(c.start, int64(md.cells-1))), int(min(c.end, int64(md.cells-1)))
}

// inTheWay lists the owners that exclude c.
func (md *model) inTheWay(f xlator.GFID, c claim) (out []uint64) {
	lo, hi := md.cellRange(c)
	for o := range uint64(maxOwners) {
		for i := lo; i <= hi; i++ {
			if h := md.held[f][i][o]; o != c.owner && (h == exclusive || h == shared && c.mode == exclusive) {
				out = append(out, o)
				break
			}
		}
	}
	return out
}

func (md *model) set(f xlator.GFID, c claim) {
	lo, hi := md.cellRange(c)
	for i := lo; i <= hi; i++ {
		md.held[f][i][c.owner] = c.mode
	}
}

// layout is every lock as the longest runs of equal cells.
func (md *model) layout(f xlator.GFID) (out []claim) {
	for o := range uint64(maxOwners) {
		for i := 0; i < md.cells; {
			m := md.held[f][i][o]
			j := i
			for j+1 < md.cells && md.held[f][j+1][o] == m {
				j++
			}
			if m != unlocked {
				c := claim{owner: o, mode: m, start: int64(i), end: int64(j)}
				if j == md.cells-1 {
					c.end = endOfFile
				}
				out = append(out, c)
			}
			i = j + 1
		}
	}
	return out
}

// first is what LkGet must find.
func (md *model) first(f xlator.GFID, c claim) (claim, bool) {
	var all []claim
	for _, h := range md.layout(f) {
		if h.owner != c.owner && h.start <= c.end && c.start <= h.end && (h.mode == exclusive || c.mode == exclusive) {
			all = append(all, h)
		}
	}
	if len(all) == 0 {
		return claim{}, false
	}
	return slices.MinFunc(all, func(a, b claim) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.owner, b.owner)) }), true
}

// settle grants, always the first in order that can be, until none can.
func (md *model) settle() {
	for {
		i := slices.IndexFunc(md.waits, func(w *modelWait) bool { return !w.granted && len(md.inTheWay(w.file, w.want)) == 0 })
		if i < 0 {
			return
		}
		w := md.waits[i]
		md.set(w.file, w.want)
		if w.granted = true; w.attached > 0 {
			md.drop(w)
		}
	}
}

func (md *model) drop(w *modelWait) {
	md.waits = slices.DeleteFunc(md.waits, func(x *modelWait) bool { return x == w })
}

func (md *model) find(f xlator.GFID, c claim, ticket uint64) *modelWait {
	for _, w := range md.waits {
		if w.file == f && w.want.same(c) && w.ticket == ticket && ticket != 0 {
			return w
		}
	}
	return nil
}

// reaches reports whether from waits, over any number of steps, for to.
func (md *model) reaches(from, to uint64, seen map[uint64]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, w := range md.waits {
		if !w.granted && w.want.owner == from {
			for _, o := range md.inTheWay(w.file, w.want) {
				if md.reaches(o, to, seen) {
					return true
				}
			}
		}
	}
	return false
}

// request returns what the machine's request must: 0, an errno, or -1 for a
// wait.
func (md *model) request(f xlator.GFID, c claim, block bool, ticket uint64) int {
	defer md.settle()
	if w := md.find(f, c, ticket); block && w != nil {
		if w.granted {
			md.drop(w)
			return 0
		}
		w.attached++
		return -1
	}
	if md.kind == flocks {
		if md.held[f][0][c.owner] == c.mode {
			return 0
		}
		none := c
		none.mode = unlocked
		md.set(f, none)
	}
	blockers := md.inTheWay(f, c)
	switch {
	case len(blockers) == 0:
		md.set(f, c)
		return 0
	case !block:
		return int(syscall.EAGAIN)
	}
	for _, o := range blockers {
		if md.kind == recordLocks && md.reaches(o, c.owner, map[uint64]bool{}) {
			return int(syscall.EDEADLK)
		}
	}
	md.waits = append(md.waits, &modelWait{file: f, want: c, ticket: ticket, attached: 1})
	return -1
}

func (md *model) unlock(f xlator.GFID, c claim) {
	c.mode = unlocked
	md.set(f, c)
	md.waits = slices.DeleteFunc(md.waits, func(w *modelWait) bool {
		if w.file != f || w.want.owner != c.owner || w.attached > 0 {
			return false
		}
		if !w.granted {
			return w.want.start >= c.start && w.want.end <= c.end
		}
		return !md.holds(w)
	})
	md.settle()
}

// holds reports whether anything is left of a grant.
func (md *model) holds(w *modelWait) bool {
	lo, hi := md.cellRange(w.want)
	for i := lo; i <= hi; i++ {
		if md.held[w.file][i][w.want.owner] != unlocked {
			return true
		}
	}
	return false
}

func (md *model) cancel(w *modelWait) {
	md.drop(w)
	md.settle()
}

// abandon undoes a ticket; keep is what the owner is to have.
func (md *model) abandon(w *modelWait, keep []claim) (lost bool) {
	md.drop(w)
	if w.granted {
		none := w.want
		none.mode = unlocked
		md.set(w.file, none)
		for _, c := range keep {
			c.start, c.end = max(c.start, w.want.start), min(c.end, w.want.end)
			if c.start > c.end {
				continue
			}
			if len(md.inTheWay(w.file, c)) > 0 {
				lost = true
				continue
			}
			md.set(w.file, c)
		}
	}
	md.settle()
	return lost
}

// id is the state in a few bytes, with owner o called names[o] (and tickets
// with them).
func (md *model) id(names []uint64) string {
	b := make([]byte, 0, 64)
	for f, held := range md.held {
		b = append(b, f[15])
		for _, c := range held {
			var named cell
			for o, n := range names {
				named[n] = c[o]
			}
			for _, m := range named {
				b = append(b, byte(m))
			}
		}
	}
	for _, w := range md.waits {
		lo, hi := md.cellRange(w.want)
		b = append(b, w.file[15], byte(names[w.want.owner]), byte(w.want.mode), byte(lo), byte(hi), byte(names[w.ticket]), byte(w.attached))
	}
	return string(b)
}

// agrees reports whether the machine's state is the model's.
func (md *model) agrees(m *machine) bool {
	queued, parked := 0, 0
	for f := range md.held {
		sp := m.spaces[spaceKey{file: f, kind: md.kind}]
		if sp == nil {
			sp = &space{held: &records{}}
		}
		held := slices.Collect(sp.held.all())
		if !slices.EqualFunc(held, md.layout(f), claim.same) {
			return false
		}
		queue := sp.queue
		for _, w := range md.waits {
			switch {
			case w.file != f:
			case w.granted:
				parked++
				if !slices.ContainsFunc(sp.parked, func(x *wait) bool { return x.want.same(w.want) && x.ticket == w.ticket }) {
					return false
				}
			case len(queue) == 0 || !queue[0].want.same(w.want) || queue[0].ticket != w.ticket || queue[0].attached != w.attached:
				return false
			default:
				queue = queue[1:]
			}
		}
		queued += len(queue)
		parked -= len(sp.parked)
	}
	return queued == 0 && parked == 0
}

// show is the model's state as text, locks and waits, to be put beside
// showMachine.
func (md *model) show() string {
	var b strings.Builder
	for _, f := range slices.SortedFunc(maps.Keys(md.held), func(x, y xlator.GFID) int { return cmp.Compare(x[15], y[15]) }) {
		var held, queue, parked []string
		for _, c := range md.layout(f) {
			held = append(held, showClaim(c))
		}
		for _, w := range md.waits {
			switch {
			case w.file != f:
			case w.granted:
				parked = append(parked, fmt.Sprintf("%s #%d", showClaim(w.want), w.ticket))
			default:
				queue = append(queue, fmt.Sprintf("%s #%d x%d", showClaim(w.want), w.ticket, w.attached))
			}
		}
		writeState(&b, f, held, queue, parked)
	}
	return b.String()
}

func showMachine(m *machine, k kind, files ...xlator.GFID) string {
	var b strings.Builder
	for _, f := range files {
		var held, queue, parked []string
		if sp := m.spaces[spaceKey{file: f, kind: k}]; sp != nil {
			for c := range sp.held.all() {
				held = append(held, showClaim(c))
			}
			for _, w := range sp.queue {
				queue = append(queue, fmt.Sprintf("%s #%d x%d", showClaim(w.want), w.ticket, w.attached))
			}
			for _, w := range sp.parked {
				parked = append(parked, fmt.Sprintf("%s #%d", showClaim(w.want), w.ticket))
			}
		}
		writeState(&b, f, held, queue, parked)
	}
	return b.String()
}

// writeState sorts what was granted to nobody: its order means nothing.
func writeState(b *strings.Builder, f xlator.GFID, held, queue, parked []string) {
	slices.Sort(parked)
	fmt.Fprintf(b, "file %d: held %v, waiting %v, granted to nobody %v\n", f[15], held, queue, parked)
}
