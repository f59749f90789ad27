package client

import (
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// callback is called for what the brick says by itself. The same may come twice;
// what is not known is not for us.
func (s *session) callback(cb rpc.Callback) {
	if cb.Prog != xdr.ProgramCallback {
		return
	}
	switch cb.Proc {
	case xdr.CallbackCacheInvalidation:
		var m xdr.CacheInvalidation
		if err := xdr.Decode(cb.Args, &m); err != nil {
			s.log.Warn("a notice of the brick makes no sense", "err", err)
			return
		}
		s.invalidate(&m)
	case xdr.CallbackChildDown:
		s.backend(false)
	case xdr.CallbackChildUp:
		s.backend(true)
	}
}

// What of a file the flags of an invalidation make stale. A write says "size" and
// "times"; a directory whose names have changed says "times", too.
const (
	staleAttr = xdr.InvalidateNlink | xdr.InvalidateMode | xdr.InvalidateOwner | xdr.InvalidateSize | xdr.InvalidateTimes | xdr.InvalidateAtime |
		xdr.InvalidatePermission | xdr.InvalidateXattr | xdr.InvalidateXattrRemoved | xdr.InvalidateAttributes | xdr.InvalidateForget
	staleData    = xdr.InvalidateSize | xdr.InvalidateTimes | xdr.InvalidateForget
	staleEntries = xdr.InvalidateTimes | xdr.InvalidateForget | xdr.InvalidateExplicitLookup
	staleName    = xdr.InvalidateNlink | xdr.InvalidateRename | xdr.InvalidateForget | xdr.InvalidateExplicitLookup
)

// invalidate passes on that another client has changed something.
func (s *session) invalidate(m *xdr.CacheInvalidation) {
	g, err := xlator.ParseGFID(m.GFID)
	if err != nil {
		s.log.Warn("a notice of the brick makes no sense", "err", err)
		return
	}
	var what xlator.Stale
	for bits, stale := range map[uint32]xlator.Stale{
		staleAttr: xlator.StaleAttr, staleData: xlator.StaleData, staleEntries: xlator.StaleEntries, staleName: xlator.StaleName,
	} {
		if m.Flags&bits != 0 {
			what |= stale
		}
	}
	s.announce(xlator.Event{Kind: xlator.Invalidate, File: g, Stale: what})
	if m.Flags&xdr.InvalidateParentTimes == 0 {
		return
	}
	for _, dir := range []xlator.GFID{m.Parent.GFID, m.OldParent.GFID} {
		if !dir.IsZero() {
			s.announce(xlator.Event{Kind: xlator.Invalidate, File: dir, Stale: xlator.StaleAttr | xlator.StaleEntries})
		}
	}
}

// backend notes how the brick's file system is, by the brick's own word.
func (s *session) backend(well bool) {
	s.mu.Lock()
	s.kept.noteSick(!well)
	switch {
	case s.closed || s.conn == nil || s.sick != well: // heard before
	case well:
		s.sick = false
		s.rise()
	default:
		s.sick = true
		if s.up {
			s.down(errSick)
		}
	}
	s.mu.Unlock()
	s.tell()
}
