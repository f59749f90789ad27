package fuse

import (
	"syscall"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// journal is a slot's entry as the translators see it.
type journal struct{ e *state.Entry }

func (j journal) GFID() xlator.GFID     { return j.e.GFID() }
func (j journal) SetGFID(g xlator.GFID) { j.e.SetGFID(g) }

func (j journal) Intent() xlator.Intent {
	i := j.e.Intent()
	return xlator.Intent{Kind: i.Kind, Flags: i.Flags, A: i.A, B: i.B, Size: i.Size}
}

func (j journal) SetIntent(i xlator.Intent) {
	j.e.SetIntent(state.Intent{Kind: i.Kind, Flags: i.Flags, A: i.A, B: i.B, Size: i.Size})
}

// repeatable operations change nothing, and their replies may be as long as they
// like: such a request is simply carried out again.
var repeatable = [opCount]bool{
	opGetattr: true, opReadlink: true, opRead: true, opStatfs: true, opGetxattr: true, opListxattr: true,
	opReaddir: true, opGetlk: true, opAccess: true, opLseek: true,
}

// entryOps are answered with a file's number, which counts as one
// lookup of it.
var entryOps = [opCount]bool{opLookup: true, opSymlink: true, opMknod: true, opMkdir: true, opLink: true, opCreate: true, opTmpfile: true}

// record keeps a reply that is about to be written, with what follows from it: a
// process that finds it writes it again, and does nothing else. The slot is
// cleared once the reply has been written (see slot.drop).
func (r *request) record(parts [][]byte) {
	switch {
	case r.op >= opCount || repeatable[r.op] || len(parts) != 1:
	case r.listed != 0 && &parts[0][0] == &r.slot.mem[r.listed]:
		r.slot.entry.SetReplyAt(r.listed, len(parts[0]))
	default:
		r.slot.entry.SetReply(parts[0])
	}
}

// tell notes that the reply reports the write errors of f, and returns the one
// that it has to.
func (r *request) tell(f *fdtable.BaseFD) error {
	err := f.TakeError()
	if err != nil {
		r.told = f
		if e := r.slot.entry; e != nil {
			e.SetCursor(f.FH(), f.Cursor())
		}
	}
	return err
}

// noteENOSYS records what the kernel will not ask for again.
func (s *Session) noteENOSYS(op uint32) {
	s.enosysMu.Lock()
	defer s.enosysMu.Unlock()
	s.mem.NoteENOSYS(op)
}

// statusOf is the errno of a reply.
func statusOf(reply []byte) syscall.Errno {
	return syscall.Errno(-(*gofuse.OutHeader)(unsafe.Pointer(unsafe.SliceData(reply))).Status)
}
