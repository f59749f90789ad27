package xdr

// GetspecServers in GetspecReq.Flags asks for the list of management daemons
// too; a client sets it [W].
const GetspecServers = 1

// SetvolumeReq begins a session on a brick (wire facts, 10) [W]. Keys a 10.3 brick
// insists on: remote-subvolume, process-uuid (new for every session: one that is
// used again can kill the brick), fops-version.
type SetvolumeReq struct {
	Dict OldDict
}

// AppendTo implements Message.
func (v *SetvolumeReq) AppendTo(b []byte) []byte {
	return v.Dict.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SetvolumeReq) DecodeFrom(d *Decoder) {
	d.In("SetvolumeReq")
	v.Dict = d.oldDict("dict")
}

// SetvolumeRep is the brick's answer: ERROR ("Success"), process-uuid, child_up,
// volume-id. Errno is 22 even after a success [W].
type SetvolumeRep struct {
	Result
	Dict OldDict
}

// AppendTo implements Message.
func (v *SetvolumeRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	return v.Dict.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SetvolumeRep) DecodeFrom(d *Decoder) {
	d.In("SetvolumeRep")
	d.result(&v.Result)
	v.Dict = d.oldDict("dict")
}

// GetspecReq asks for a volfile (wire facts, 11) [W]. Xdata must hold
// min-op-version and max-op-version; without them the answer is EOPNOTSUPP.
type GetspecReq struct {
	Flags uint32 // GetspecServers
	Key   string // name of the volume
	Xdata OldDict
}

// AppendTo implements Message.
func (v *GetspecReq) AppendTo(b []byte) []byte {
	b = AppendUint32(b, v.Flags)
	b = AppendString(b, v.Key)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GetspecReq) DecodeFrom(d *Decoder) {
	d.In("GetspecReq")
	v.Flags = d.Uint32("flags")
	v.Key = d.String("key", MaxName)
	v.Xdata = d.oldDict("xdata")
}

// GetspecRep is the volfile; Ret is its length in bytes.
type GetspecRep struct {
	Result
	Spec  string
	Xdata OldDict // may hold other management daemons
}

// AppendTo implements Message.
func (v *GetspecRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = AppendString(b, v.Spec)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GetspecRep) DecodeFrom(d *Decoder) {
	d.In("GetspecRep")
	d.result(&v.Result)
	v.Spec = d.String("spec", MaxVolfile)
	v.Xdata = d.oldDict("xdata")
}

// SetLkVerReq is obsolete; a 10.3 brick agrees to it [W].
type SetLkVerReq struct {
	UID     string
	Version int32
}

// AppendTo implements Message.
func (v *SetLkVerReq) AppendTo(b []byte) []byte {
	b = AppendString(b, v.UID)
	return AppendInt32(b, v.Version)
}

// DecodeFrom implements Message.
func (v *SetLkVerReq) DecodeFrom(d *Decoder) {
	d.In("SetLkVerReq")
	v.UID = d.String("uid", MaxName)
	v.Version = d.Int32("lk_ver")
}

// SetLkVerRep has the Version that was asked for [W].
type SetLkVerRep struct {
	Result
	Version int32
}

// AppendTo implements Message.
func (v *SetLkVerRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	return AppendInt32(b, v.Version)
}

// DecodeFrom implements Message.
func (v *SetLkVerRep) DecodeFrom(d *Decoder) {
	d.In("SetLkVerRep")
	d.result(&v.Result)
	v.Version = d.Int32("lk_ver")
}

// GetVolumeInfoReq asks the management daemon about a volume: volname, and flags
// "1" for the volume's uuid [W].
type GetVolumeInfoReq struct {
	Dict OldDict
}

// AppendTo implements Message.
func (v *GetVolumeInfoReq) AppendTo(b []byte) []byte {
	return v.Dict.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GetVolumeInfoReq) DecodeFrom(d *Decoder) {
	d.In("GetVolumeInfoReq")
	v.Dict = d.oldDict("dict")
}

// GetVolumeInfoRep is the answer: volume_id.
type GetVolumeInfoRep struct {
	Result
	Message string // why it failed
	Dict    OldDict
}

// AppendTo implements Message.
func (v *GetVolumeInfoRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = AppendString(b, v.Message)
	return v.Dict.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *GetVolumeInfoRep) DecodeFrom(d *Decoder) {
	d.In("GetVolumeInfoRep")
	d.result(&v.Result)
	v.Message = d.String("op_errstr", MaxMessage)
	v.Dict = d.oldDict("dict")
}
