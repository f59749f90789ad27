package fuse

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

// writing is the WRITEs that are being carried out, by the pages that they change.
//
// The kernel puts what it writes into its page, then sends it, and the page is not
// locked meanwhile. If the page is dropped (an open of the file does that) and read
// again before the WRITE is carried out, the kernel keeps what was there before it,
// and shows that after the write has returned. So a READ of the same pages that comes
// later waits. See docs/decisions/0013.
type writing struct {
	shards [64]writingShard
}

type writingShard struct {
	n   atomic.Int32 // len(all)
	mu  sync.Mutex
	all []*pages // guarded by mu
	_   [24]byte
}

// pages is what a WRITE changes. Its request owns it; guarded by the shard's mu while
// it is in there.
type pages struct {
	node, unique uint64
	first, last  uint64        // pages
	done         chan struct{} // closed at the end; made by who waits
	begun        bool          // owned by the request's goroutine
}

func (w *writing) shard(node uint64) *writingShard { return &w.shards[node%uint64(len(w.shards))] }

// begin enters a WRITE. Called before anything of the request is carried out, in the
// order in which requests come.
func (w *writing) begin(r *request) {
	if !fits[gofuse.WriteIn](r) {
		return
	}
	in := view[gofuse.WriteIn](r)
	if in.Size == 0 {
		return
	}
	p := &r.pages
	*p = pages{node: r.node, unique: r.call.Unique, first: in.Offset / pageSize, last: (in.Offset + uint64(in.Size) - 1) / pageSize, begun: true}
	s := w.shard(r.node)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p)
	s.n.Store(int32(len(s.all)))
}

// end is told when a WRITE has been carried out, or is not going to be. It may be
// called again.
func (w *writing) end(r *request) {
	p := &r.pages
	if !p.begun {
		return
	}
	p.begun = false
	s := w.shard(p.node)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(x *pages) bool { return x == p })
	s.n.Store(int32(len(s.all)))
	if p.done != nil {
		close(p.done)
		p.done = nil
	}
}

// wait waits for the WRITEs that came before the request and change pages of a range
// of its node.
func (w *writing) wait(ctx context.Context, node, unique, offset uint64, size uint32) error {
	s := w.shard(node)
	if s.n.Load() == 0 || size == 0 {
		return nil
	}
	first, last := offset/pageSize, (offset+uint64(size)-1)/pageSize
	for {
		done := s.overlapping(node, unique, first, last)
		if done == nil {
			return nil
		}
		if err := xlator.Await(ctx, done); err != nil {
			return err
		}
	}
}

// overlapping finds such a WRITE; nil: there is none.
func (s *writingShard) overlapping(node, unique, first, last uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all {
		if p.node == node && p.unique < unique && p.first <= last && first <= p.last {
			if p.done == nil {
				p.done = make(chan struct{})
			}
			return p.done
		}
	}
	return nil
}
