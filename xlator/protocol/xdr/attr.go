package xdr

import (
	"encoding/binary"
	"slices"
)

// Bits of SetattrReq.Valid (wire facts, 6.8) [W].
const (
	SetattrMode  = 0x1
	SetattrUID   = 0x2
	SetattrGID   = 0x4
	SetattrSize  = 0x8
	SetattrAtime = 0x10
	SetattrMtime = 0x20
	SetattrCtime = 0x40
	// A 10.3 brick ignores these two: the client must send the time itself,
	// with the bits of atime and mtime.
	SetattrAtimeNow = 0x80
	SetattrMtimeNow = 0x100
)

// SetattrReq changes attributes. Of Attr only the fields that Valid names count;
// its Flags are 0 as the stock client has it.
type SetattrReq struct {
	GFID  GFID
	Attr  Iatt
	Valid int32 // Setattr...
	Xdata Dict
}

// AppendTo implements Message.
func (v *SetattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = v.Attr.AppendTo(b)
	b = AppendInt32(b, v.Valid)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *SetattrReq) DecodeFrom(d *Decoder) {
	d.In("SetattrReq")
	v.GFID = d.GFID("gfid")
	d.iatt("stbuf", &v.Attr)
	v.Valid = d.Int32("valid")
	v.Xdata = d.dict("xdata")
}

// FsetattrReq does the same to an open object.
type FsetattrReq struct {
	GFID  GFID
	FD    int64
	Attr  Iatt
	Valid int32 // Setattr...
	Xdata Dict
}

// AppendTo implements Message.
func (v *FsetattrReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendInt64(b, v.FD)
	b = v.Attr.AppendTo(b)
	b = AppendInt32(b, v.Valid)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *FsetattrReq) DecodeFrom(d *Decoder) {
	d.In("FsetattrReq")
	v.GFID = d.GFID("gfid")
	v.FD = d.Int64("fd")
	d.iatt("stbuf", &v.Attr)
	v.Valid = d.Int32("valid")
	v.Xdata = d.dict("xdata")
}

// AccessReq asks whether the credential may access an object.
type AccessReq struct {
	GFID  GFID
	Mask  uint32 // as in access(2)
	Xdata Dict
}

// AppendTo implements Message.
func (v *AccessReq) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint32(b, v.Mask)
	return v.Xdata.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *AccessReq) DecodeFrom(d *Decoder) {
	d.In("AccessReq")
	v.GFID = d.GFID("gfid")
	v.Mask = d.Uint32("mask")
	v.Xdata = d.dict("xdata")
}

// StatfsRep is the state of the brick's file system.
type StatfsRep struct {
	Result
	Xdata  Dict
	Statfs Statfs
}

// AppendTo implements Message.
func (v *StatfsRep) AppendTo(b []byte) []byte {
	b = v.Result.appendTo(b)
	b = v.Xdata.AppendTo(b)
	return v.Statfs.AppendTo(b)
}

// DecodeFrom implements Message.
func (v *StatfsRep) DecodeFrom(d *Decoder) {
	d.In("StatfsRep")
	d.result(&v.Result)
	v.Xdata = d.dict("xdata")
	d.statfs("statfs", &v.Statfs)
}

// Statfs is as struct statvfs (wire facts, 6.5) [W].
type Statfs struct {
	Bsize   uint64
	Frsize  uint64
	Blocks  uint64 // of Frsize bytes, as Bfree and Bavail
	Bfree   uint64
	Bavail  uint64
	Files   uint64
	Ffree   uint64
	Favail  uint64
	Fsid    uint64
	Flag    uint64
	Namemax uint64
}

// StatfsSize is the length of a Statfs on the wire.
const StatfsSize = 88

// AppendTo appends the 88 bytes.
func (v *Statfs) AppendTo(b []byte) []byte {
	b = slices.Grow(b, StatfsSize)
	for _, n := range [...]uint64{
		v.Bsize, v.Frsize, v.Blocks, v.Bfree, v.Bavail, v.Files, v.Ffree, v.Favail, v.Fsid, v.Flag, v.Namemax,
	} {
		b = AppendUint64(b, n)
	}
	return b
}

func (d *Decoder) statfs(field string, v *Statfs) {
	b := d.take(field, StatfsSize)
	if b == nil {
		*v = Statfs{}
		return
	}
	for i, n := range [...]*uint64{
		&v.Bsize, &v.Frsize, &v.Blocks, &v.Bfree, &v.Bavail, &v.Files, &v.Ffree, &v.Favail, &v.Fsid, &v.Flag, &v.Namemax,
	} {
		*n = binary.BigEndian.Uint64(b[8*i:])
	}
}
