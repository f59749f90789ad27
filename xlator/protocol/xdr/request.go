package xdr

// GFIDReq names an object and nothing else.
type GFIDReq struct {
	GFID  GFID
	Xdata Dict
}

// Requests that are a GFIDReq.
type (
	StatReq        = GFIDReq
	StatfsReq      = GFIDReq
	OpendirReq     = GFIDReq
	GetactivelkReq = GFIDReq
)

// AppendTo implements Message.
func (v *GFIDReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GFIDReq) DecodeFrom(d *Decoder) {
	d.In("GFIDReq")
	v.GFID = d.GFID("gfid")
	v.Xdata = d.dict("xdata")
}

// FDReq names an open object and nothing else.
type FDReq struct {
	GFID  GFID
	FD    int64
	Xdata Dict
}

// Requests that are an FDReq. FLUSH also lets go of the locks that the
// credential's owner has on the file [W].
type (
	FstatReq      = FDReq
	FlushReq      = FDReq
	ReleaseReq    = FDReq
	ReleasedirReq = FDReq
)

// AppendTo implements Message.
func (v *FDReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FDReq) DecodeFrom(d *Decoder) {
	d.In("FDReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Xdata = d.dict("xdata")
}
