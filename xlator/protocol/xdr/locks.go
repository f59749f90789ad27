package xdr

// Commands of LK, INODELK and FINODELK (wire facts, 13) [W].
const (
	LkGet     = 0
	LkSet     = 1 // conflict: EAGAIN
	LkSetWait = 2 // conflict: no answer until granted; cannot be cancelled
)

// Types of locks [W].
const (
	LockRead   = 0
	LockWrite  = 1
	LockUnlock = 2
)

// Commands of ENTRYLK and FENTRYLK [W].
const (
	EntrylkLock         = 0 // waits
	EntrylkUnlock       = 1
	EntrylkLockNonblock = 2 // conflict: EAGAIN
)

// Commands and types of leases [W].
const (
	LeaseGet    = 1
	LeaseSet    = 2
	LeaseUnlock = 3

	LeaseNone      = 0
	LeaseRead      = 1
	LeaseReadWrite = 2
)

// Flock is a range and its holder (gf_proto_flock; wire facts, 6.3) [W].
type Flock struct {
	Type   uint32 // Lock...
	Whence uint32 // 0
	Start  uint64 // bytes, as Len
	Len    uint64 // 0 is up to the end of the file
	PID    uint32
	// Owner is part of the decoded message. At most MaxLockOwner bytes.
	Owner []byte
}

// AppendTo appends 32 bytes and the owner.
func (v *Flock) AppendTo(b []byte) []byte {
	b = AppendUint32(b, v.Type)
	b = AppendUint32(b, v.Whence)
	b = AppendUint64(b, v.Start)
	b = AppendUint64(b, v.Len)
	b = AppendUint32(b, v.PID)
	return AppendOpaque(b, v.Owner)
}

func (d *Decoder) flock(field string, v *Flock) {
	v.Type = d.Uint32(field)
	v.Whence = d.Uint32(field)
	v.Start = d.Uint64(field)
	v.Len = d.Uint64(field)
	v.PID = d.Uint32(field)
	v.Owner = d.Opaque(field, MaxLockOwner)
}

// Lease is what a lease is about (gf_proto_lease; wire facts, 6.4) [W].
type Lease struct {
	Cmd   uint32 // Lease...
	Type  uint32 // Lease...
	ID    [16]byte
	Flags uint32
}

// AppendTo appends 28 bytes.
func (v *Lease) AppendTo(b []byte) []byte {
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = append(b, v.ID[:]...)
	return AppendUint32(b, v.Flags)
}

func (d *Decoder) lease(field string, v *Lease) {
	v.Cmd = d.Uint32(field)
	v.Type = d.Uint32(field)
	v.ID = d.GFID(field)
	v.Flags = d.Uint32(field)
}

// LkReq is fcntl(2) and flock(2) locking. Whose lock it is says the credential's
// owner; Flock.Owner is only echoed, and both should be equal [W].
type LkReq struct {
	GFID  GFID
	FD    int64
	Cmd   uint32 // Lk...
	Type  uint32 // Lock...; wins over Flock.Type [W]
	Flock Flock
	Xdata Dict
}

// AppendTo implements Message.
func (v *LkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = v.Flock.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LkReq) DecodeFrom(d *Decoder) {
	d.In("LkReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Cmd = d.Uint32("cmd")
	v.Type = d.Uint32("type")
	d.flock("flock", &v.Flock)
	v.Xdata = d.dict("xdata")
}

// LkRep is the lock in the way of GETLK, of type LockUnlock when there is none.
type LkRep struct {
	Result
	Xdata Dict
	Flock Flock
}

// AppendTo implements Message.
func (v *LkRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return v.Flock.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LkRep) DecodeFrom(d *Decoder) {
	d.In("LkRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.flock("flock", &v.Flock)
}

// InodelkReq locks a range of an object in a domain.
type InodelkReq struct {
	GFID   GFID
	Cmd    uint32 // LkSet, LkSetWait
	Type   uint32 // Lock...
	Flock  Flock
	Domain string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *InodelkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = v.Flock.AppendTo(b)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *InodelkReq) DecodeFrom(d *Decoder) {
	d.In("InodelkReq")
	v.GFID = d.GFID("gfid")
	v.Cmd = d.Uint32("cmd")
	v.Type = d.Uint32("type")
	d.flock("flock", &v.Flock)
	v.Domain = d.String("volume", MaxName)
	v.Xdata = d.dict("xdata")
}

// FinodelkReq does the same to an open object.
type FinodelkReq struct {
	GFID   GFID
	FD     int64
	Cmd    uint32 // LkSet, LkSetWait
	Type   uint32 // Lock...
	Flock  Flock
	Domain string
	Xdata  Dict
}

// AppendTo implements Message.
func (v *FinodelkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = v.Flock.AppendTo(b)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FinodelkReq) DecodeFrom(d *Decoder) {
	d.In("FinodelkReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Cmd = d.Uint32("cmd")
	v.Type = d.Uint32("type")
	d.flock("flock", &v.Flock)
	v.Domain = d.String("volume", MaxName)
	v.Xdata = d.dict("xdata")
}

// EntrylkReq locks a name in a directory (NameLen 1), or all (NameLen 0, Name empty).
type EntrylkReq struct {
	GFID    GFID
	Cmd     uint32 // Entrylk...
	Type    uint32 // LockRead, LockWrite
	NameLen uint64
	Name    string
	Domain  string
	Xdata   Dict
}

// AppendTo implements Message.
func (v *EntrylkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = AppendUint64(b, v.NameLen)
	b = AppendString(b, v.Name)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *EntrylkReq) DecodeFrom(d *Decoder) {
	d.In("EntrylkReq")
	v.GFID = d.GFID("gfid")
	v.Cmd = d.Uint32("cmd")
	v.Type = d.Uint32("type")
	v.NameLen = d.Uint64("namelen")
	v.Name = d.String("name", MaxName)
	v.Domain = d.String("volume", MaxName)
	v.Xdata = d.dict("xdata")
}

// FentrylkReq does the same to an open directory.
type FentrylkReq struct {
	GFID    GFID
	FD      int64
	Cmd     uint32 // Entrylk...
	Type    uint32 // LockRead, LockWrite
	NameLen uint64
	Name    string
	Domain  string
	Xdata   Dict
}

// AppendTo implements Message.
func (v *FentrylkReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = AppendUint32(b, v.Cmd)
	b = AppendUint32(b, v.Type)
	b = AppendUint64(b, v.NameLen)
	b = AppendString(b, v.Name)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FentrylkReq) DecodeFrom(d *Decoder) {
	d.In("FentrylkReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	v.Cmd = d.Uint32("cmd")
	v.Type = d.Uint32("type")
	v.NameLen = d.Uint64("namelen")
	v.Name = d.String("name", MaxName)
	v.Domain = d.String("volume", MaxName)
	v.Xdata = d.dict("xdata")
}

// LeaseReq asks for a lease. Bricks without leases answer ENOSYS [W].
type LeaseReq struct {
	GFID  GFID
	Lease Lease
	Xdata Dict
}

// AppendTo implements Message.
func (v *LeaseReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = v.Lease.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LeaseReq) DecodeFrom(d *Decoder) {
	d.In("LeaseReq")
	v.GFID = d.GFID("gfid")
	d.lease("lease", &v.Lease)
	v.Xdata = d.dict("xdata")
}

// LeaseRep is the lease.
type LeaseRep struct {
	Result
	Xdata Dict
	Lease Lease
}

// AppendTo implements Message.
func (v *LeaseRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return v.Lease.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *LeaseRep) DecodeFrom(d *Decoder) {
	d.In("LeaseRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.lease("lease", &v.Lease)
}
