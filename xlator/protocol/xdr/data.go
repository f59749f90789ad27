package xdr

// ReadReq reads.
type ReadReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	Size   uint32 // bytes wanted
	Flag   uint32 // open flags of the file, or 0
	Xdata  Dict
}

// AppendTo implements Message.
func (v *ReadReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendUint32(b, v.Size)
	b = AppendUint32(b, v.Flag)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *ReadReq) DecodeFrom(d *Decoder) {
	d.In("ReadReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint32("size")
	v.Flag = d.Uint32("flag")
	v.Xdata = d.dict("xdata")
}

// ReadRep announces Size bytes of data, which follow the XDR part. It is short at
// the end of the file only. Unlike elsewhere the attributes stand before Xdata.
type ReadRep struct {
	Result
	Stat  Iatt
	Size  uint32
	Xdata Dict
}

// AppendTo implements Message.
func (v *ReadRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Stat.AppendTo(b)
	b = AppendUint32(b, v.Size)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *ReadRep) DecodeFrom(d *Decoder) {
	d.In("ReadRep")
	d.result(&v.Result)
	d.iatt("stat", &v.Stat)
	v.Size = d.Uint32("size")
	v.Xdata = d.dict("xdata")
}

// WriteReq writes Size bytes, which follow the XDR part.
type WriteReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	Size   uint32
	Flag   uint32 // open flags of the file, or 0
	Xdata  Dict
}

// AppendTo implements Message.
func (v *WriteReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendUint32(b, v.Size)
	b = AppendUint32(b, v.Flag)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *WriteReq) DecodeFrom(d *Decoder) {
	d.In("WriteReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint32("size")
	v.Flag = d.Uint32("flag")
	v.Xdata = d.dict("xdata")
}

// PutReq makes a file with data and attributes in one call: Size bytes follow the
// XDR part [S]. A 10.3 brick does not know the procedure [W].
type PutReq struct {
	Parent GFID
	Name   string
	Mode   uint32
	Umask  uint32
	Flag   uint32
	Offset uint64
	Size   uint32
	Xattr  Dict
	Xdata  Dict
}

// AppendTo implements Message.
func (v *PutReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendString(b, v.Name)
	b = AppendUint32(b, v.Mode)
	b = AppendUint32(b, v.Umask)
	b = AppendUint32(b, v.Flag)
	b = AppendUint64(b, v.Offset)
	b = AppendUint32(b, v.Size)
	b = v.Xattr.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *PutReq) DecodeFrom(d *Decoder) {
	d.In("PutReq")
	v.Parent = d.GFID("pargfid")
	v.Name = d.String("bname", MaxName)
	v.Mode = d.Uint32("mode")
	v.Umask = d.Uint32("umask")
	v.Flag = d.Uint32("flag")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint32("size")
	v.Xattr = d.dict("xattr")
	v.Xdata = d.dict("xdata")
}

// TruncateReq sets the size.
type TruncateReq struct {
	GFID   GFID
	Offset uint64 // the new size
	Xdata  Dict
}

// AppendTo implements Message.
func (v *TruncateReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint64(b, v.Offset)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *TruncateReq) DecodeFrom(d *Decoder) {
	d.In("TruncateReq")
	v.GFID = d.GFID("gfid")
	v.Offset = d.Uint64("offset")
	v.Xdata = d.dict("xdata")
}

// FtruncateReq sets the size of an open file.
type FtruncateReq struct {
	GFID   GFID
	FD     int64
	Offset uint64 // the new size
	Xdata  Dict
}

// AppendTo implements Message.
func (v *FtruncateReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FtruncateReq) DecodeFrom(d *Decoder) {
	d.In("FtruncateReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Xdata = d.dict("xdata")
}

// FsyncReq makes what was written durable.
type FsyncReq struct {
	GFID     GFID
	FD       int64
	Datasync uint32 // 1 for fdatasync
	Xdata    Dict
}

// AppendTo implements Message.
func (v *FsyncReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Datasync)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FsyncReq) DecodeFrom(d *Decoder) {
	d.In("FsyncReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Datasync = d.Uint32("data")
	v.Xdata = d.dict("xdata")
}

// FsyncdirReq is FsyncReq for a directory.
type FsyncdirReq struct {
	GFID     GFID
	FD       int64
	Datasync int32 // 1 for fdatasync
	Xdata    Dict
}

// AppendTo implements Message.
func (v *FsyncdirReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendInt32(b, v.Datasync)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FsyncdirReq) DecodeFrom(d *Decoder) {
	d.In("FsyncdirReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Datasync = d.Int32("data")
	v.Xdata = d.dict("xdata")
}
