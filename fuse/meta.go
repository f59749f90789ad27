package fuse

import (
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// decodeMeta decodes what programs ask for most beside data: to open and close,
// to make, change and remove. It reports whether it was one of these.
func (r *request) decodeMeta() bool {
	switch r.op {
	case opOpen:
		decodeFixed(r, (*request).doOpen)
	case opOpendir:
		decodeFixed(r, (*request).doOpendir)
	case opFlush:
		decodeFixed(r, (*request).doFlush)
	case opRelease, opReleasedir:
		decodeFixed(r, (*request).doRelease)
	case opSetattr:
		decodeFixed(r, (*request).doSetattr)
	case opCreate:
		decodeFixed(r, (*request).doCreate)
	case opMkdir:
		decodeFixed(r, (*request).doMkdir)
	case opUnlink, opRmdir:
		r.doRemove()
	case opRename:
		decodeFixed(r, (*request).doRename)
	case opGetxattr:
		if !fits[gofuse.GetXAttrIn](r) || view[gofuse.GetXAttrIn](r).Size > 0 {
			return false
		}
		r.doXattrSize()
	default:
		return false
	}
	return true
}

// answer answers with the fixed part, a T, or the error.
func answer[T any](r *request, err error) {
	if err != nil {
		r.replyStatus(r.fail(err))
		return
	}
	r.replyFixed(int(unsafe.Sizeof(*new(T))))
}

// nothing is the fixed part of replies that have none.
type nothing struct{}

// names are those after the fixed part, a T; EIO is the answer if they are not
// all there.
func names[T any](r *request, into ...*string) bool {
	b := r.rest(int(unsafe.Sizeof(*new(T))))
	for _, p := range into {
		s, ok := cString(b)
		if !ok {
			r.replyStatus(gofuse.EIO)
			return false
		}
		*p, b = s, b[len(s)+1:]
	}
	return true
}

func (r *request) doOpen(in *gofuse.OpenIn) {
	answer[gofuse.OpenOut](r, r.s.bridge.open(r, in, fixed[gofuse.OpenOut](r)))
}

func (r *request) doOpendir(in *gofuse.OpenIn) {
	answer[gofuse.OpenOut](r, r.s.bridge.opendir(r, in, fixed[gofuse.OpenOut](r)))
}

func (r *request) doFlush(in *gofuse.FlushIn) { answer[nothing](r, r.s.bridge.flush(r, in)) }

func (r *request) doRelease(in *gofuse.ReleaseIn) {
	r.s.bridge.release(r, in)
	answer[nothing](r, nil)
}

func (r *request) doSetattr(in *gofuse.SetAttrIn) {
	answer[gofuse.AttrOut](r, r.s.bridge.setattr(r, in, fixed[gofuse.AttrOut](r)))
}

func (r *request) doCreate(in *gofuse.CreateIn) {
	var name string
	if names[gofuse.CreateIn](r, &name) {
		answer[gofuse.CreateOut](r, r.s.bridge.create(r, in, name, fixed[gofuse.CreateOut](r)))
	}
}

func (r *request) doMkdir(in *gofuse.MkdirIn) {
	var name string
	if names[gofuse.MkdirIn](r, &name) {
		answer[gofuse.EntryOut](r, r.s.bridge.mkdir(r, in, name, fixed[gofuse.EntryOut](r)))
	}
}

func (r *request) doRemove() {
	var name string
	if !names[gofuse.InHeader](r, &name) {
		return
	}
	remove := r.s.bridge.unlink
	if r.op == opRmdir {
		remove = r.s.bridge.rmdir
	}
	answer[nothing](r, remove(r, name))
}

// renameIn is the kernel's fuse_rename_in, of a rename without flags.
type renameIn struct {
	gofuse.InHeader
	Newdir uint64
}

func (r *request) doRename(in *renameIn) {
	var from, to string
	if names[renameIn](r, &from, &to) {
		answer[nothing](r, r.s.bridge.rename(r, &gofuse.RenameIn{Newdir: in.Newdir}, from, to))
	}
}

// doXattrSize answers how long an attribute is, which the kernel asks about
// security.capability before many a write.
func (r *request) doXattrSize() {
	var name string
	if !names[gofuse.GetXAttrIn](r, &name) {
		return
	}
	n, err := r.s.bridge.getxattr(r, name, nil)
	fixed[gofuse.GetXAttrOut](r).Size = uint32(n)
	answer[gofuse.GetXAttrOut](r, err)
}
