package xdr

// LookupReq asks for a name (Parent and Name, GFID zero) or for an object (GFID,
// Parent zero, Name empty); the root by its gfid. The attributes wanted, and
// gfid-req to heal a missing gfid, are keys of Xdata (wire facts, 8, 9).
type LookupReq struct {
	GFID   GFID
	Parent GFID
	Flags  uint32 // always 0
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *LookupReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = appendGFID(b, &v.Parent)
	b = AppendUint32(b, v.Flags)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LookupReq) DecodeFrom(d *Decoder) {
	d.In("LookupReq")
	v.GFID = d.GFID("gfid")
	v.Parent = d.GFID("pargfid")
	v.Flags = d.Uint32("flags")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}

// LookupRep is what was found. Postparent is zero when no Parent was given.
type LookupRep struct {
	Result
	Xdata      Dict
	Stat       Iatt
	Postparent Iatt
}

// AppendTo implements Message.
func (v *LookupRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	return v.Postparent.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LookupRep) DecodeFrom(d *Decoder) {
	d.In("LookupRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
	d.iatt("postparent", &v.Postparent)
}

// MknodReq makes a file that is not opened. Xdata must have gfid-req, as for
// MKDIR, SYMLINK and CREATE; the brick answers EINVAL without it.
type MknodReq struct {
	Parent GFID
	// Dev is a Linux dev_t; Iatt.Rdev is not.
	Dev   uint64
	Mode  uint32 // with the file type; the brick applies Umask
	Umask uint32
	Name  string
	Xdata Dict
}

// AppendTo implements Message.
func (v *MknodReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendUint64(b, v.Dev)
	b = AppendUint32(b, v.Mode)
	b = AppendUint32(b, v.Umask)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *MknodReq) DecodeFrom(d *Decoder) {
	d.In("MknodReq")
	v.Parent = d.GFID("pargfid")
	v.Dev = d.Uint64("dev")
	v.Mode = d.Uint32("mode")
	v.Umask = d.Uint32("umask")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}

// MkdirReq makes a directory.
type MkdirReq struct {
	Parent GFID
	Mode   uint32
	Umask  uint32
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *MkdirReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendUint32(b, v.Mode)
	b = AppendUint32(b, v.Umask)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *MkdirReq) DecodeFrom(d *Decoder) {
	d.In("MkdirReq")
	v.Parent = d.GFID("pargfid")
	v.Mode = d.Uint32("mode")
	v.Umask = d.Uint32("umask")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}

// SymlinkReq makes a symbolic link called Name to Target.
type SymlinkReq struct {
	Parent GFID
	Name   string
	Umask  uint32
	Target string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *SymlinkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendString(b, v.Name)
	b = AppendUint32(b, v.Umask)
	b = AppendString(b, v.Target)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SymlinkReq) DecodeFrom(d *Decoder) {
	d.In("SymlinkReq")
	v.Parent = d.GFID("pargfid")
	v.Name = d.String("bname", MaxName)
	v.Umask = d.Uint32("umask")
	v.Target = d.String("linkname", MaxName)
	v.Xdata = d.dict("xdata")
}

// LinkReq gives the object GFID another name.
type LinkReq struct {
	GFID   GFID
	Parent GFID
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *LinkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = appendGFID(b, &v.Parent)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LinkReq) DecodeFrom(d *Decoder) {
	d.In("LinkReq")
	v.GFID = d.GFID("oldgfid")
	v.Parent = d.GFID("newgfid")
	v.Name = d.String("newbname", MaxName)
	v.Xdata = d.dict("xdata")
}

// UnlinkReq removes the name of what is no directory.
type UnlinkReq struct {
	Parent GFID
	Name   string
	Flags  uint32
	Xdata  Dict
}

// AppendTo implements Message.
func (v *UnlinkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendString(b, v.Name)
	b = AppendUint32(b, v.Flags)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *UnlinkReq) DecodeFrom(d *Decoder) {
	d.In("UnlinkReq")
	v.Parent = d.GFID("pargfid")
	v.Name = d.String("bname", MaxName)
	v.Flags = d.Uint32("xflags")
	v.Xdata = d.dict("xdata")
}

// RmdirReq removes a directory. Flags stand before the name, unlike UNLINK's.
type RmdirReq struct {
	Parent GFID
	Flags  int32 // 1 moves a whole tree to the trash: internal
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *RmdirReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendInt32(b, v.Flags)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RmdirReq) DecodeFrom(d *Decoder) {
	d.In("RmdirReq")
	v.Parent = d.GFID("pargfid")
	v.Flags = d.Int32("xflags")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}

// RenameReq renames.
type RenameReq struct {
	OldParent GFID
	NewParent GFID
	OldName   string
	NewName   string
	Xdata     Dict
}

// AppendTo implements Message.
func (v *RenameReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.OldParent)
	b = appendGFID(b, &v.NewParent)
	b = AppendString(b, v.OldName)
	b = AppendString(b, v.NewName)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RenameReq) DecodeFrom(d *Decoder) {
	d.In("RenameReq")
	v.OldParent = d.GFID("oldgfid")
	v.NewParent = d.GFID("newgfid")
	v.OldName = d.String("oldbname", MaxName)
	v.NewName = d.String("newbname", MaxName)
	v.Xdata = d.dict("xdata")
}

// RenameRep is the attributes of what was renamed, and of both directories before
// and after.
type RenameRep struct {
	Result
	Xdata         Dict
	Stat          Iatt
	Preoldparent  Iatt
	Postoldparent Iatt
	Prenewparent  Iatt
	Postnewparent Iatt
}

// AppendTo implements Message.
func (v *RenameRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	b = v.Preoldparent.AppendTo(b)
	b = v.Postoldparent.AppendTo(b)
	b = v.Prenewparent.AppendTo(b)
	return v.Postnewparent.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RenameRep) DecodeFrom(d *Decoder) {
	d.In("RenameRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("stat", &v.Stat)
	d.iatt("preoldparent", &v.Preoldparent)
	d.iatt("postoldparent", &v.Postoldparent)
	d.iatt("prenewparent", &v.Prenewparent)
	d.iatt("postnewparent", &v.Postnewparent)
}

// ReadlinkReq asks for the target of a symbolic link.
type ReadlinkReq struct {
	GFID  GFID
	Size  uint32 // of the target at most, in bytes
	Xdata Dict
}

// AppendTo implements Message.
func (v *ReadlinkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Size)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *ReadlinkReq) DecodeFrom(d *Decoder) {
	d.In("ReadlinkReq")
	v.GFID = d.GFID("gfid")
	v.Size = d.Uint32("size")
	v.Xdata = d.dict("xdata")
}

// ReadlinkRep is the target; Ret is its length.
type ReadlinkRep struct {
	Result
	Xdata  Dict
	Stat   Iatt
	Target string
}

// AppendTo implements Message.
func (v *ReadlinkRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	b = v.Stat.AppendTo(b)
	return AppendString(b, v.Target)
}

// DecodeFrom implements Message.
func (v *ReadlinkRep) DecodeFrom(d *Decoder) {
	d.In("ReadlinkRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.iatt("buf", &v.Stat)
	v.Target = d.String("path", MaxName)
}

// IcreateReq makes a file without a name. Of no use on 10.3, which answers ESTALE.
type IcreateReq struct {
	GFID  GFID
	Mode  uint32
	Xdata Dict
}

// AppendTo implements Message.
func (v *IcreateReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Mode)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *IcreateReq) DecodeFrom(d *Decoder) {
	d.In("IcreateReq")
	v.GFID = d.GFID("gfid")
	v.Mode = d.Uint32("mode")
	v.Xdata = d.dict("xdata")
}

// NamelinkReq gives what ICREATE has made its name [S]. Never to be sent to a
// 10.3 brick: it dies of it [W].
type NamelinkReq struct {
	Parent GFID
	Name   string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *NamelinkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.Parent)
	b = AppendString(b, v.Name)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *NamelinkReq) DecodeFrom(d *Decoder) {
	d.In("NamelinkReq")
	v.Parent = d.GFID("pargfid")
	v.Name = d.String("bname", MaxName)
	v.Xdata = d.dict("xdata")
}
