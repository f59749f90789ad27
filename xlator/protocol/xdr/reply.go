package xdr

import "syscall"

// Result is how every reply begins.
type Result struct {
	// Ret is negative for an error, else what the fop counts: bytes of READ,
	// WRITE and COPY_FILE_RANGE, length of a link's target, entries, length of
	// an attribute, or 0 (wire facts, 7) [W].
	Ret int32
	// Errno is Linux's number and counts only when Ret is negative: after a
	// success it is anything, except that READ and READDIR(P) put ENOENT there
	// to say that the end was reached (wire facts, 6.7, 8) [W].
	Errno int32
}

// Err returns nil for a success, else a syscall.Errno: EIO when the peer failed
// without a usable number.
func (v Result) Err() error {
	switch {
	case v.Ret >= 0:
		return nil
	case v.Errno <= 0 || v.Errno > 4095: // Linux's MAX_ERRNO
		return syscall.EIO
	default:
		return syscall.Errno(v.Errno)
	}
}

func (v *Result) appendTo(b []byte) []byte {
	b = AppendInt32(b, v.Ret)
	return AppendInt32(b, v.Errno)
}

func (d *Decoder) result(v *Result) {
	v.Ret = d.Int32("op_ret")
	v.Errno = d.Int32("op_errno")
}

// Empty is the body of a procedure without arguments.
type Empty struct{}

// AppendTo appends nothing.
func (*Empty) AppendTo(b []byte) []byte { return b }

// DecodeFrom reads nothing.
func (*Empty) DecodeFrom(d *Decoder) { d.In("Empty") }

// CommonRep is the reply of the fops that return nothing.
type CommonRep struct {
	Result
	Xdata Dict
}

// Replies that are a CommonRep.
type (
	FlushRep        = CommonRep
	SetxattrRep     = CommonRep
	FsetxattrRep    = CommonRep
	RemovexattrRep  = CommonRep
	FremovexattrRep = CommonRep
	FsyncdirRep     = CommonRep
	AccessRep       = CommonRep
	InodelkRep      = CommonRep
	FinodelkRep     = CommonRep
	EntrylkRep      = CommonRep
	FentrylkRep     = CommonRep
	ReleaseRep      = CommonRep
	ReleasedirRep   = CommonRep
	IpcRep          = CommonRep
	SetactivelkRep  = CommonRep
)

// AppendTo implements Message.
func (v *CommonRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CommonRep) DecodeFrom(d *Decoder) {
	d.In("CommonRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
}

// StatRep is the reply of the fops that return the attributes of one object.
type StatRep struct {
	Result
	Xdata Dict
	Stat  Iatt
}

// Replies that are a StatRep.
type (
	FstatRep   = StatRep
	IcreateRep = StatRep
)

// AppendTo implements Message.
func (v *StatRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return v.Stat.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *StatRep) DecodeFrom(d *Decoder) {
	d.In("StatRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
}

// AttrRep is the reply of the fops that change an object: its attributes
// before and after, as the brick saw them in one step.
type AttrRep struct {
	Result
	Xdata Dict
	Pre   Iatt
	Post  Iatt
}

// Replies that are an AttrRep.
type (
	TruncateRep  = AttrRep
	FtruncateRep = AttrRep
	WriteRep     = AttrRep // Ret is the number of bytes written
	FsyncRep     = AttrRep
	SetattrRep   = AttrRep
	FsetattrRep  = AttrRep
	FallocateRep = AttrRep
	DiscardRep   = AttrRep
	ZerofillRep  = AttrRep
)

// AppendTo implements Message.
func (v *AttrRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Pre.AppendTo(b)
	return v.Post.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *AttrRep) DecodeFrom(d *Decoder) {
	d.In("AttrRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("pre", &v.Pre)
	d.iatt("post", &v.Post)
}

// EntryRep is the reply of the fops that make a name: the attributes of the new
// object, and of the directory before and after.
type EntryRep struct {
	Result
	Xdata      Dict
	Stat       Iatt
	Preparent  Iatt
	Postparent Iatt
}

// Replies that are an EntryRep.
type (
	MknodRep   = EntryRep
	MkdirRep   = EntryRep
	SymlinkRep = EntryRep
	LinkRep    = EntryRep
	PutRep     = EntryRep
)

// AppendTo implements Message.
func (v *EntryRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	b = v.Preparent.AppendTo(b)
	return v.Postparent.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *EntryRep) DecodeFrom(d *Decoder) {
	d.In("EntryRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
	d.iatt("preparent", &v.Preparent)
	d.iatt("postparent", &v.Postparent)
}

// ParentRep is the reply of the fops that change a directory's names and
// nothing else: the directory before and after.
type ParentRep struct {
	Result
	Xdata      Dict
	Preparent  Iatt
	Postparent Iatt
}

// Replies that are a ParentRep.
type (
	UnlinkRep   = ParentRep
	RmdirRep    = ParentRep
	NamelinkRep = ParentRep
)

// AppendTo implements Message.
func (v *ParentRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Preparent.AppendTo(b)
	return v.Postparent.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *ParentRep) DecodeFrom(d *Decoder) {
	d.In("ParentRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("preparent", &v.Preparent)
	d.iatt("postparent", &v.Postparent)
}
