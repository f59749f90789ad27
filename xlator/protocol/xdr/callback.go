package xdr

// CacheInvalidation.Flags: what has changed (wire facts, 12) [W].
const (
	InvalidateNlink          = 0x1
	InvalidateMode           = 0x2
	InvalidateOwner          = 0x4
	InvalidateSize           = 0x8
	InvalidateTimes          = 0x10
	InvalidateAtime          = 0x20
	InvalidatePermission     = 0x40
	InvalidateRename         = 0x80
	InvalidateForget         = 0x100
	InvalidateParentTimes    = 0x200
	InvalidateXattr          = 0x400
	InvalidateXattrRemoved   = 0x800
	InvalidateExplicitLookup = 0x1000
	InvalidateAttributes     = 0x2000
)

// CacheInvalidation says that another client has changed an object that this one
// has looked at lately, where features.cache-invalidation is on [W].
type CacheInvalidation struct {
	GFID      string // as text of 36 characters
	Event     uint32 // always 1
	Flags     uint32 // Invalidate...
	Expire    uint32 // seconds that what is cached may be kept
	Stat      OldIatt
	Parent    OldIatt
	OldParent OldIatt
	Xdata     OldDict
}

// AppendTo implements Message.
func (v *CacheInvalidation) AppendTo(b []byte) []byte {
	b = AppendString(b, v.GFID)
	b = AppendUint32(b, v.Event)
	b = AppendUint32(b, v.Flags)
	b = AppendUint32(b, v.Expire)
	b = v.Stat.AppendTo(b)
	b = v.Parent.AppendTo(b)
	b = v.OldParent.AppendTo(b)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *CacheInvalidation) DecodeFrom(d *Decoder) {
	d.In("CacheInvalidation")
	v.GFID = d.String("gfid", MaxName)
	v.Event = d.Uint32("event_type")
	v.Flags = d.Uint32("flags")
	v.Expire = d.Uint32("expire_time_attr")
	d.oldIatt("stat", &v.Stat)
	d.oldIatt("parent_stat", &v.Parent)
	d.oldIatt("oldparent_stat", &v.OldParent)
	v.Xdata = d.oldDict("xdata")
}

// RecallLease wants a lease back [S].
type RecallLease struct {
	GFID  GFID
	Type  uint32 // Lease...
	ID    GFID
	Xdata OldDict
}

// AppendTo implements Message.
func (v *RecallLease) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Type)
	b = appendGFID(b, &v.ID)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *RecallLease) DecodeFrom(d *Decoder) {
	d.In("RecallLease")
	v.GFID = d.GFID("gfid")
	v.Type = d.Uint32("lease_type")
	v.ID = d.GFID("tid")
	v.Xdata = d.oldDict("xdata")
}

// Statedump asks the process of that pid to dump its state [S].
type Statedump struct {
	PID uint32
}

// AppendTo implements Message.
func (v *Statedump) AppendTo(b []byte) []byte {
	return AppendUint32(b, v.PID)
}

// DecodeFrom implements Message.
func (v *Statedump) DecodeFrom(d *Decoder) {
	d.In("Statedump")
	v.PID = d.Uint32("pid")
}

// InodelkContention says that somebody waits for an inodelk of this client: Flock
// is the lock that is held [W].
type InodelkContention struct {
	GFID   GFID
	Flock  Flock
	PID    uint32
	Domain string
	Xdata  OldDict
}

// AppendTo implements Message.
func (v *InodelkContention) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = v.Flock.AppendTo(b)
	b = AppendUint32(b, v.PID)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *InodelkContention) DecodeFrom(d *Decoder) {
	d.In("InodelkContention")
	v.GFID = d.GFID("gfid")
	d.flock("flock", &v.Flock)
	v.PID = d.Uint32("pid")
	v.Domain = d.String("domain", MaxName)
	v.Xdata = d.oldDict("xdata")
}

// EntrylkContention says the same of an entrylk [S].
type EntrylkContention struct {
	GFID   GFID
	Type   uint32
	PID    uint32
	Name   string
	Domain string
	Xdata  OldDict
}

// AppendTo implements Message.
func (v *EntrylkContention) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Type)
	b = AppendUint32(b, v.PID)
	b = AppendString(b, v.Name)
	b = AppendString(b, v.Domain)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *EntrylkContention) DecodeFrom(d *Decoder) {
	d.In("EntrylkContention")
	v.GFID = d.GFID("gfid")
	v.Type = d.Uint32("type")
	v.PID = d.Uint32("pid")
	v.Name = d.String("name", MaxName)
	v.Domain = d.String("domain", MaxName)
	v.Xdata = d.oldDict("xdata")
}
