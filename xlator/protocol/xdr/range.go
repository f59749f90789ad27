package xdr

// FallocateKeepSize in FallocateReq.Flags leaves the size as it is [S].
const FallocateKeepSize = 1

// SeekReq.What [W].
const (
	SeekData = 0
	SeekHole = 1
)

// FallocateReq reserves space.
type FallocateReq struct {
	GFID   GFID
	FD     int64
	Flags  uint32 // FallocateKeepSize
	Offset uint64
	Size   uint64
	Xdata  Dict
}

// AppendTo implements Message.
func (v *FallocateReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Flags)
	b = AppendUint64(b, v.Offset)
	b = AppendUint64(b, v.Size)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FallocateReq) DecodeFrom(d *Decoder) {
	d.In("FallocateReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Flags = d.Uint32("flags")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint64("size")
	v.Xdata = d.dict("xdata")
}

// RangeReq is a range of an open file.
type RangeReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	Size   uint64
	Xdata  Dict
}

// AppendTo implements Message.
func (v *RangeReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendUint64(b, v.Size)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RangeReq) DecodeFrom(d *Decoder) {
	d.In("RangeReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Size = d.Uint64("size")
	v.Xdata = d.dict("xdata")
}

// Requests that are a RangeReq: DISCARD punches a hole, ZEROFILL writes zeros.
type (
	DiscardReq  = RangeReq
	ZerofillReq = RangeReq
)

// SeekReq finds data or a hole from Offset on; ENXIO behind the last.
type SeekReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	What   int32 // SeekData, SeekHole
	Xdata  Dict
}

// AppendTo implements Message.
func (v *SeekReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendInt32(b, v.What)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SeekReq) DecodeFrom(d *Decoder) {
	d.In("SeekReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.What = d.Int32("what")
	v.Xdata = d.dict("xdata")
}

// SeekRep is where it begins.
type SeekRep struct {
	Result
	Xdata  Dict
	Offset uint64
}

// AppendTo implements Message.
func (v *SeekRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return AppendUint64(b, v.Offset)
}

// DecodeFrom implements Message.
func (v *SeekRep) DecodeFrom(d *Decoder) {
	d.In("SeekRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Offset = d.Uint64("offset")
}

// CopyFileRangeReq copies from one open file to another.
type CopyFileRangeReq struct {
	GFIDIn    GFID
	GFIDOut   GFID
	FDIn      int64
	FDOut     int64
	OffsetIn  uint64
	OffsetOut uint64
	Size      uint32
	Flag      uint32
	Xdata     Dict
}

// AppendTo implements Message.
func (v *CopyFileRangeReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFIDIn)
	b = appendGFID(b, &v.GFIDOut)
	b = AppendInt64(b, v.FDIn)
	b = AppendInt64(b, v.FDOut)
	b = AppendUint64(b, v.OffsetIn)
	b = AppendUint64(b, v.OffsetOut)
	b = AppendUint32(b, v.Size)
	b = AppendUint32(b, v.Flag)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CopyFileRangeReq) DecodeFrom(d *Decoder) {
	d.In("CopyFileRangeReq")
	v.GFIDIn = d.GFID("gfid1")
	v.GFIDOut = d.GFID("gfid2")
	v.FDIn = d.Int64("fd_in")
	v.FDOut = d.Int64("fd_out")
	v.OffsetIn = d.Uint64("off_in")
	v.OffsetOut = d.Uint64("off_out")
	v.Size = d.Uint32("size")
	v.Flag = d.Uint32("flag")
	v.Xdata = d.dict("xdata")
}

// CopyFileRangeRep is the attributes of the source, and of the destination before
// and after; Ret is the number of bytes copied.
type CopyFileRangeRep struct {
	Result
	Xdata Dict
	Stat  Iatt
	Pre   Iatt
	Post  Iatt
}

// AppendTo implements Message.
func (v *CopyFileRangeRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	b = v.Pre.AppendTo(b)
	return v.Post.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CopyFileRangeRep) DecodeFrom(d *Decoder) {
	d.In("CopyFileRangeRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
	d.iatt("preout", &v.Pre)
	d.iatt("postout", &v.Post)
}

// RchecksumReq asks for checksums of a range; for healing.
type RchecksumReq struct {
	GFID   GFID
	FD     int64
	Offset uint64
	Len    uint32
	Flags  uint32
	Xdata  Dict
}

// AppendTo implements Message.
func (v *RchecksumReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint64(b, v.Offset)
	b = AppendUint32(b, v.Len)
	b = AppendUint32(b, v.Flags)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RchecksumReq) DecodeFrom(d *Decoder) {
	d.In("RchecksumReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Offset = d.Uint64("offset")
	v.Len = d.Uint32("len")
	v.Flags = d.Uint32("flags")
	v.Xdata = d.dict("xdata")
}

// RchecksumRep is the checksums of a range.
type RchecksumRep struct {
	Result
	Xdata Dict
	Flags uint32 // 1 whichever Strong is [W]
	Weak  uint32
	// Strong is part of the decoded message: SHA-256 if Xdata says
	// fips-mode-rchecksum, else MD5 and 16 zeros [W].
	Strong []byte
}

// AppendTo implements Message.
func (v *RchecksumRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = AppendUint32(b, v.Flags)
	b = AppendUint32(b, v.Weak)
	return AppendOpaque(b, v.Strong)
}

// DecodeFrom implements Message.
func (v *RchecksumRep) DecodeFrom(d *Decoder) {
	d.In("RchecksumRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.Flags = d.Uint32("flags")
	v.Weak = d.Uint32("weak_checksum")
	v.Strong = d.Opaque("strong_checksum", MaxChecksum)
}
