package xdr

// OpenReq opens a file. The brick honours O_APPEND and O_TRUNC.
type OpenReq struct {
	GFID  GFID
	Flags uint32 // see OpenFlags
	Xdata Dict
}

// AppendTo implements Message.
func (v *OpenReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Flags)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *OpenReq) DecodeFrom(d *Decoder) {
	d.In("OpenReq")
	v.GFID = d.GFID("gfid")
	v.Flags = d.Uint32("flags")
	v.Xdata = d.dict("xdata")
}

// OpenRep is the remote fd: a small number that this session owns. 0 is one too.
type OpenRep struct {
	Result
	Xdata Dict
	FD    int64
}

// AppendTo implements Message.
func (v *OpenRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return AppendInt64(b, v.FD)
}

// DecodeFrom implements Message.
func (v *OpenRep) DecodeFrom(d *Decoder) {
	d.In("OpenRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	v.FD = d.Int64("fd")
}

// OpendirRep has the same layout.
type OpendirRep = OpenRep

// CreateReq makes a file, or opens the one that is there, which keeps its gfid.
type CreateReq struct {
	Parent GFID
	Flags  uint32 // see OpenFlags
	Mode   uint32 // with S_IFREG; the brick applies Umask
	Umask  uint32
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *CreateReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendUint32(b, v.Flags)
	b = AppendUint32(b, v.Mode)
	b = AppendUint32(b, v.Umask)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CreateReq) DecodeFrom(d *Decoder) {
	d.In("CreateReq")
	v.Parent = d.GFID("pargfid")
	v.Flags = d.Uint32("flags")
	v.Mode = d.Uint32("mode")
	v.Umask = d.Uint32("umask")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}

// CreateRep is the open file. The fd stands between the attributes.
type CreateRep struct {
	Result
	Xdata      Dict
	Stat       Iatt
	FD         int64
	Preparent  Iatt
	Postparent Iatt
}

// AppendTo implements Message.
func (v *CreateRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	b = AppendInt64(b, v.FD)
	b = v.Preparent.AppendTo(b)
	return v.Postparent.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CreateRep) DecodeFrom(d *Decoder) {
	d.In("CreateRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
	v.FD = d.Int64("fd")
	d.iatt("preparent", &v.Preparent)
	d.iatt("postparent", &v.Postparent)
}
