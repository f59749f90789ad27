package xlator

import (
	"fmt"
	"strings"
)

// RequestInode is the inode that a request is about: the open one of its FD, or
// the parent where it names an entry. A rename gives the old parent, a link and
// a copy what is linked and written to. nil for a lookup by gfid and for Ipc.
func RequestInode(req any) *Inode {
	switch r := req.(type) {
	case *LookupReq:
		return r.Parent
	case *MknodReq:
		return r.Parent
	case *MkdirReq:
		return r.Parent
	case *SymlinkReq:
		return r.Parent
	case *CreateReq:
		return r.Parent
	case *IcreateReq:
		return r.Parent
	case *UnlinkReq:
		return r.Parent
	case *RmdirReq:
		return r.Parent
	case *RenameReq:
		return r.OldParent
	}
	if i, ok := inodeOf(req); ok {
		return i
	}
	if fd, ok := fdOf(req); ok && fd != nil {
		return fd.inode
	}
	return nil
}

func inodeOf(req any) (*Inode, bool) {
	switch r := req.(type) {
	case *StatReq:
		return r.Inode, true
	case *SetattrReq:
		return r.Inode, true
	case *TruncateReq:
		return r.Inode, true
	case *AccessReq:
		return r.Inode, true
	case *ReadlinkReq:
		return r.Inode, true
	case *LinkReq:
		return r.Inode, true
	case *OpenReq:
		return r.Inode, true
	case *StatfsReq:
		return r.Inode, true
	case *GetxattrReq:
		return r.Inode, true
	case *SetxattrReq:
		return r.Inode, true
	case *RemovexattrReq:
		return r.Inode, true
	case *XattropReq:
		return r.Inode, true
	case *InodelkReq:
		return r.Inode, true
	case *EntrylkReq:
		return r.Inode, true
	}
	return nil, false
}

func fdOf(req any) (*FD, bool) {
	switch r := req.(type) {
	case *FstatReq:
		return r.FD, true
	case *FsetattrReq:
		return r.FD, true
	case *FtruncateReq:
		return r.FD, true
	case *ReadvReq:
		return r.FD, true
	case *WritevReq:
		return r.FD, true
	case *FlushReq:
		return r.FD, true
	case *FsyncReq:
		return r.FD, true
	case *ReaddirReq:
		return r.FD, true
	case *FgetxattrReq:
		return r.FD, true
	case *FsetxattrReq:
		return r.FD, true
	case *FremovexattrReq:
		return r.FD, true
	case *FxattropReq:
		return r.FD, true
	case *LkReq:
		return r.FD, true
	case *FinodelkReq:
		return r.FD, true
	case *FentrylkReq:
		return r.FD, true
	case *FallocateReq:
		return r.FD, true
	case *DiscardReq:
		return r.FD, true
	case *ZerofillReq:
		return r.FD, true
	case *SeekReq:
		return r.FD, true
	case *CopyFileRangeReq:
		return r.Dst, true
	case *RchecksumReq:
		return r.FD, true
	}
	return nil, false
}

// FopSet is a set of fops.
type FopSet uint64

// AllFops is every fop.
const AllFops FopSet = 1<<FopCount - 1

// Has reports whether f is in the set.
func (s FopSet) Has(f Fop) bool { return s>>f&1 == 1 }

// ParseFopSet reads names of fops separated by commas, in any case; read and
// write stand for READV and WRITEV, creat for CREATE. Empty text is every fop.
func ParseFopSet(text string) (FopSet, error) {
	if strings.TrimSpace(text) == "" {
		return AllFops, nil
	}
	var s FopSet
	for name := range strings.SplitSeq(text, ",") {
		name = strings.ToUpper(strings.TrimSpace(name))
		switch name {
		case "READ":
			name = "READV"
		case "WRITE":
			name = "WRITEV"
		case "CREAT":
			name = "CREATE"
		}
		f, ok := ParseFop(name)
		if !ok {
			return 0, fmt.Errorf("%q is not a fop (the names are like lookup, writev, fsync)", strings.ToLower(name))
		}
		s |= 1 << f
	}
	return s, nil
}

// ParseGFIDs reads gfids separated by commas; nil for empty text.
func ParseGFIDs(text string) (map[GFID]bool, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	m := map[GFID]bool{}
	for s := range strings.SplitSeq(text, ",") {
		g, err := ParseGFID(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		m[g] = true
	}
	return m, nil
}

// Filter picks requests, for translators that meddle with some of them.
type Filter struct {
	Fops FopSet
	// GFIDs are the objects meant; nil means all.
	GFIDs map[GFID]bool
}

// Match reports whether the request is one of those. By gfid it goes by
// RequestInode, or by the gfid that a lookup asks for.
func (f *Filter) Match(fop Fop, req any) bool {
	if !f.Fops.Has(fop) {
		return false
	}
	if f.GFIDs == nil {
		return true
	}
	if i := RequestInode(req); i != nil {
		return f.GFIDs[i.gfid]
	}
	l, ok := req.(*LookupReq)
	return ok && f.GFIDs[l.GFID]
}
