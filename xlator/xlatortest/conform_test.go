package xlatortest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
)

func leaf() Leaf { return LeafOf(posix.Type(), locks.Type()) }

// wrong is a translator with one mistake: what is set in it replaces what
// Default does.
type wrong struct {
	xlator.Default
	phase *xlator.Phase

	mu      sync.Mutex
	writev  func(context.Context, *xlator.WritevReq) (*xlator.WritevRep, error)
	lookup  func(context.Context, *xlator.LookupReq) (*xlator.LookupRep, error)
	stat    func(context.Context, *xlator.StatReq) (*xlator.AttrRep, error)
	mkdir   func(context.Context, *xlator.MkdirReq) (*xlator.EntryRep, error)
	readdir func(context.Context, *xlator.ReaddirReq) (*xlator.ReaddirRep, error)
	discard func(context.Context, *xlator.DiscardReq) (*xlator.AttrRep, error)
	lk      func(context.Context, *xlator.LkReq) (*xlator.LkRep, error)
	drain   func() error
	stop    func()
}

func (x *wrong) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	if x.writev != nil {
		return x.writev(ctx, r)
	}
	return x.Next.Writev(ctx, r)
}

func (x *wrong) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	if x.lookup != nil {
		return x.lookup(ctx, r)
	}
	return x.Next.Lookup(ctx, r)
}

func (x *wrong) Stat(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	if x.stat != nil {
		return x.stat(ctx, r)
	}
	return x.Next.Stat(ctx, r)
}

func (x *wrong) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	if x.mkdir != nil {
		return x.mkdir(ctx, r)
	}
	return x.Next.Mkdir(ctx, r)
}

func (x *wrong) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	if x.readdir != nil {
		return x.readdir(ctx, r)
	}
	return x.Next.Readdir(ctx, r)
}

func (x *wrong) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	if x.discard != nil {
		return x.discard(ctx, r)
	}
	return x.Next.Discard(ctx, r)
}

func (x *wrong) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	if x.lk != nil {
		return x.lk(ctx, r)
	}
	return x.Next.Lk(ctx, r)
}

func (x *wrong) Drain(context.Context) error {
	if x.drain != nil {
		return x.drain()
	}
	return nil
}

func (x *wrong) Dirty() []xlator.GFID                         { return nil }
func (x *wrong) WaitClean(context.Context, xlator.GFID) error { return nil }

func (x *wrong) Stop() {
	if x.stop != nil {
		x.stop()
	}
}

// mistakes are faults that Conform has to find, and where.
var mistakes = []struct {
	name    string
	phase   xlator.PhaseName
	chapter string // "": learnThenServe
	make    func(*wrong)
}{
	{"cuts data", xlator.PhaseServing, "data", func(x *wrong) {
		x.writev = func(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
			n := len(r.Payload.Bytes)
			if n > 2000 {
				r.Payload.Bytes = r.Payload.Bytes[:n-1]
			}
			rep, err := x.Next.Writev(ctx, r)
			if err == nil {
				rep.Size = n
			}
			return rep, err
		}
	}},
	{"keeps attributes for ever", xlator.PhaseServing, "sizes and holes", keepAttributes},
	{"keeps attributes while transparent", xlator.PhaseDraining, "changes below", keepAttributes},
	{"keeps what it learned while settling", xlator.PhaseSettling, "", keepAttributes},
	{"answers a write before the child has it", xlator.PhaseDraining, "data", answerEarly},
	{"reads its early writes past its queue", xlator.PhaseServing, "data", answerEarly},
	{"changes an errno", xlator.PhaseServing, "names", func(x *wrong) {
		x.lookup = func(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
			rep, err := x.Next.Lookup(ctx, r)
			if err != nil {
				err = syscall.EIO
			}
			return rep, err
		}
	}},
	{"remembers that a name is not there", xlator.PhaseServing, "names", func(x *wrong) {
		gone := map[string]bool{}
		x.lookup = func(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
			if gone[r.Name] {
				return nil, syscall.ENOENT
			}
			rep, err := x.Next.Lookup(ctx, r)
			gone[r.Name] = err != nil
			return rep, err
		}
	}},
	{"chooses another gfid", xlator.PhaseServing, "names", func(x *wrong) {
		x.mkdir = func(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
			r.GFID = xlator.NewGFID()
			return x.Next.Mkdir(ctx, r)
		}
	}},
	{"loses an entry", xlator.PhaseServing, "directories", func(x *wrong) {
		x.readdir = func(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
			rep, err := x.Next.Readdir(ctx, r)
			if err == nil && len(rep.Entries) > 3 {
				rep.Entries = append(rep.Entries[:1], rep.Entries[2:]...)
			}
			return rep, err
		}
	}},
	{"does nothing and says yes", xlator.PhaseServing, "sizes and holes", func(x *wrong) {
		x.discard = func(context.Context, *xlator.DiscardReq) (*xlator.AttrRep, error) { return &xlator.AttrRep{}, nil }
	}},
	{"grants every lock", xlator.PhaseServing, "locks", func(x *wrong) {
		x.lk = func(_ context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
			return &xlator.LkRep{Lock: r.Lock}, nil
		}
	}},
	{"leaves a goroutine", xlator.PhaseServing, "attributes", func(x *wrong) {
		end := make(chan struct{})
		go func() { <-end }()
	}},
}

func keepAttributes(x *wrong) {
	kept := map[xlator.GFID]*xlator.AttrRep{}
	x.stat = func(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		g := r.Inode.GFID()
		if kept[g] == nil {
			rep, err := x.Next.Stat(ctx, r)
			if err != nil {
				return nil, err
			}
			kept[g] = rep
		}
		return kept[g], nil
	}
}

// answerEarly queues writes until the drain, in every phase.
func answerEarly(x *wrong) {
	var queue []*xlator.WritevReq
	x.writev = func(_ context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
		queue = append(queue, r)
		return &xlator.WritevRep{Size: len(r.Payload.Bytes)}, nil
	}
	x.drain = func() error {
		for _, r := range queue {
			x.Next.Writev(xlator.Internal(), r)
		}
		return nil
	}
}

func TestConformFindsMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			build := func(w *World, leaf xlator.Fops) xlator.Fops {
				x := &wrong{Default: xlator.Default{Next: leaf}, phase: w.Phase}
				m.make(x)
				w.started = append(w.started, x)
				return x
			}
			var faults []string
			if m.chapter == "" {
				faults = learnThenServe(t, leaf(), build)
			}
			for _, c := range chapters {
				if c.name == m.chapter {
					faults = c.faults(t, m.phase, leaf(), build)
				}
			}
			for _, f := range faults {
				if !strings.HasPrefix(f, "the leaf alone: ") {
					return
				}
			}
			t.Error("not found")
		})
	}
}

// Nothing above the leaf is nothing wrong: the script itself is the same each
// time it is played.
func TestConformAcceptsTheLeaf(t *testing.T) {
	Conform(t, leaf(), func(_ *World, leaf xlator.Fops) xlator.Fops { return leaf })
}

func TestScriptUsesEveryFop(t *testing.T) {
	var used [xlator.FopCount]atomic.Bool
	for _, c := range chapters {
		play(t, xlator.PhaseServing, c, leaf(), func(_ *World, leaf xlator.Fops) xlator.Fops {
			return &xlator.Observe{
				Default: xlator.Default{Next: leaf},
				Begin:   func(_ context.Context, f xlator.Fop, _ any) int64 { used[f].Store(true); return 0 },
				End:     func(context.Context, xlator.Fop, any, any, int64, error) {},
			}
		})
	}
	for f := range xlator.FopCount {
		if !used[f].Load() {
			t.Errorf("%s is never asked", f)
		}
	}
}
