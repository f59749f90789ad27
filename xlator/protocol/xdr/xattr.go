package xdr

// XattropReq.Flags (wire facts, 6.8). The missing numbers exist but are not
// to be used: 10.3 answers EINVAL to two of them [W].
const (
	XattropAdd32     = 0 // returns the new values [W]
	XattropAdd64     = 1 // likewise [W]
	XattropGetAndSet = 4 // returns the old value, or nothing [W]
)

// SetxattrReq sets extended attributes: values of type DictTypeBytes, because a
// brick stores the NUL of a text with it [W].
type SetxattrReq struct {
	GFID  GFID
	Flags uint32 // XATTR_CREATE 1, XATTR_REPLACE 2
	Dict  Dict
	Xdata Dict
}

// AppendTo implements Message.
func (v *SetxattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Flags)
	b = v.Dict.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SetxattrReq) DecodeFrom(d *Decoder) {
	d.In("SetxattrReq")
	v.GFID = d.GFID("gfid")
	v.Flags = d.Uint32("flags")
	v.Dict = d.dict("dict")
	v.Xdata = d.dict("xdata")
}

// FsetxattrReq does the same to an open object.
type FsetxattrReq struct {
	GFID  GFID
	FD    int64
	Flags uint32 // XATTR_CREATE 1, XATTR_REPLACE 2
	Dict  Dict
	Xdata Dict
}

// AppendTo implements Message.
func (v *FsetxattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Flags)
	b = v.Dict.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FsetxattrReq) DecodeFrom(d *Decoder) {
	d.In("FsetxattrReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Flags = d.Uint32("flags")
	v.Dict = d.dict("dict")
	v.Xdata = d.dict("xdata")
}

// GetxattrReq asks for one attribute (NameLen 1) or all (NameLen 0, Name empty).
type GetxattrReq struct {
	GFID    GFID
	NameLen uint32 // a flag, not a length [W]
	Name    string
	Xdata   Dict
}

// AppendTo implements Message.
func (v *GetxattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.NameLen)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GetxattrReq) DecodeFrom(d *Decoder) {
	d.In("GetxattrReq")
	v.GFID = d.GFID("gfid")
	v.NameLen = d.Uint32("namelen")
	v.Name = d.String("name", MaxName)
	v.Xdata = d.dict("xdata")
}

// FgetxattrReq does the same to an open object.
type FgetxattrReq struct {
	GFID    GFID
	FD      int64
	NameLen uint32 // a flag, not a length [W]
	Name    string
	Xdata   Dict
}

// AppendTo implements Message.
func (v *FgetxattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.NameLen)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FgetxattrReq) DecodeFrom(d *Decoder) {
	d.In("FgetxattrReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.NameLen = d.Uint32("namelen")
	v.Name = d.String("name", MaxName)
	v.Xdata = d.dict("xdata")
}

// RemovexattrReq removes an attribute.
type RemovexattrReq struct {
	GFID  GFID
	Name  string
	Xdata Dict
}

// AppendTo implements Message.
func (v *RemovexattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RemovexattrReq) DecodeFrom(d *Decoder) {
	d.In("RemovexattrReq")
	v.GFID = d.GFID("gfid")
	v.Name = d.String("name", MaxName)
	v.Xdata = d.dict("xdata")
}

// FremovexattrReq does the same to an open object.
type FremovexattrReq struct {
	GFID  GFID
	FD    int64
	Name  string
	Xdata Dict
}

// AppendTo implements Message.
func (v *FremovexattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FremovexattrReq) DecodeFrom(d *Decoder) {
	d.In("FremovexattrReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Name = d.String("name", MaxName)
	v.Xdata = d.dict("xdata")
}

// XattropReq changes attributes as arrays of big-endian numbers, atomically.
type XattropReq struct {
	GFID  GFID
	Flags uint32 // Xattrop...
	Dict  Dict
	Xdata Dict
}

// AppendTo implements Message.
func (v *XattropReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Flags)
	b = v.Dict.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *XattropReq) DecodeFrom(d *Decoder) {
	d.In("XattropReq")
	v.GFID = d.GFID("gfid")
	v.Flags = d.Uint32("flags")
	v.Dict = d.dict("dict")
	v.Xdata = d.dict("xdata")
}

// FxattropReq does the same to an open object.
type FxattropReq struct {
	GFID  GFID
	FD    int64
	Flags uint32 // Xattrop...
	Dict  Dict
	Xdata Dict
}

// AppendTo implements Message.
func (v *FxattropReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Flags)
	b = v.Dict.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FxattropReq) DecodeFrom(d *Decoder) {
	d.In("FxattropReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Flags = d.Uint32("flags")
	v.Dict = d.dict("dict")
	v.Xdata = d.dict("xdata")
}

// XattrRep is values of attributes. The attributes of the object are zero in
// 10.3 [W].
type XattrRep struct {
	Result
	Xdata Dict
	Dict  Dict
	Pre   Iatt
	Post  Iatt
}

// AppendTo implements Message.
func (v *XattrRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Dict.AppendTo(b)
	b = v.Pre.AppendTo(b)
	return v.Post.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *XattrRep) DecodeFrom(d *Decoder) {
	d.In("XattrRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Dict = d.dict("dict")
	d.iatt("pre", &v.Pre)
	d.iatt("post", &v.Post)
}

// Replies that are an XattrRep.
type (
	GetxattrRep  = XattrRep
	FgetxattrRep = XattrRep
	XattropRep   = XattrRep
	FxattropRep  = XattrRep
)

// IpcReq is a call from translator to translator; what Op is, they know.
type IpcReq struct {
	Op    int32
	Xdata Dict
}

// AppendTo implements Message.
func (v *IpcReq) AppendTo(b []byte) []byte {
	b = AppendInt32(b, v.Op)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *IpcReq) DecodeFrom(d *Decoder) {
	d.In("IpcReq")
	v.Op = d.Int32("op")
	v.Xdata = d.dict("xdata")
}
