package xdr

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// IattSize is the length of an Iatt on the wire.
const IattSize = 148

// Bits of Iatt.Flags: which fields are known (wire facts, 6.1) [W]. A 10.3
// brick on ext4 sends all but the time of birth.
const (
	IattKnowsType  = 0x1
	IattKnowsMode  = 0x2
	IattKnowsNlink = 0x4
	IattKnowsUID   = 0x8
	IattKnowsGID   = 0x10
	IattKnowsAtime = 0x20
	IattKnowsMtime = 0x40
	IattKnowsCtime = 0x80
	IattKnowsIno   = 0x100
	IattKnowsSize  = 0x200
	IattKnowsBlock = 0x400
	IattKnowsBtime = 0x800
	IattKnowsGFID  = 0x1000

	// IattKnows is what a 10.3 brick sends.
	IattKnows = 0x17ff
)

// Iatt is the attributes of an inode (gfx_iattx; wire facts, 6.1) [W]. Where a
// message has an Iatt but nothing to say, all of it is zero.
type Iatt struct {
	GFID  GFID
	Flags uint64 // IattKnows...
	Ino   uint64 // last eight bytes of GFID, big-endian
	Dev   uint64 // st_dev of the brick, as it is
	// Rdev is major<<32 | minor; see RdevToDev. (MKNOD's Dev is not.)
	Rdev           uint64
	Size           uint64
	Blocks         uint64 // of 512 bytes
	Attributes     uint64 // as statx's; 0 in 10.3
	AttributesMask uint64
	Atime          int64 // seconds since the epoch, as the next three
	Mtime          int64
	Ctime          int64
	Btime          int64 // 0 in 10.3
	AtimeNsec      uint32
	MtimeNsec      uint32
	CtimeNsec      uint32
	BtimeNsec      uint32
	Nlink          uint32
	UID            uint32
	GID            uint32
	Blksize        uint32
	Mode           uint32 // st_mode: type and permission bits
}

// IsZero reports whether the attributes are absent.
func (v *Iatt) IsZero() bool { return *v == Iatt{} }

// AppendTo appends the 148 bytes.
func (v *Iatt) AppendTo(b []byte) []byte {
	n := len(b)
	b = slices.Grow(b, IattSize)[:n+IattSize]
	p := (*[IattSize]byte)(b[n:])
	be := binary.BigEndian
	copy(p[:16], v.GFID[:])
	be.PutUint64(p[16:], v.Flags)
	be.PutUint64(p[24:], v.Ino)
	be.PutUint64(p[32:], v.Dev)
	be.PutUint64(p[40:], v.Rdev)
	be.PutUint64(p[48:], v.Size)
	be.PutUint64(p[56:], v.Blocks)
	be.PutUint64(p[64:], v.Attributes)
	be.PutUint64(p[72:], v.AttributesMask)
	be.PutUint64(p[80:], uint64(v.Atime))
	be.PutUint64(p[88:], uint64(v.Mtime))
	be.PutUint64(p[96:], uint64(v.Ctime))
	be.PutUint64(p[104:], uint64(v.Btime))
	be.PutUint32(p[112:], v.AtimeNsec)
	be.PutUint32(p[116:], v.MtimeNsec)
	be.PutUint32(p[120:], v.CtimeNsec)
	be.PutUint32(p[124:], v.BtimeNsec)
	be.PutUint32(p[128:], v.Nlink)
	be.PutUint32(p[132:], v.UID)
	be.PutUint32(p[136:], v.GID)
	be.PutUint32(p[140:], v.Blksize)
	be.PutUint32(p[144:], v.Mode)
	return b
}

// iatt reads 148 bytes into v.
func (d *Decoder) iatt(field string, v *Iatt) {
	b := d.take(field, IattSize)
	if b == nil {
		*v = Iatt{}
		return
	}
	p := (*[IattSize]byte)(b)
	be := binary.BigEndian
	copy(v.GFID[:], p[:16])
	v.Flags = be.Uint64(p[16:])
	v.Ino = be.Uint64(p[24:])
	v.Dev = be.Uint64(p[32:])
	v.Rdev = be.Uint64(p[40:])
	v.Size = be.Uint64(p[48:])
	v.Blocks = be.Uint64(p[56:])
	v.Attributes = be.Uint64(p[64:])
	v.AttributesMask = be.Uint64(p[72:])
	v.Atime = int64(be.Uint64(p[80:]))
	v.Mtime = int64(be.Uint64(p[88:]))
	v.Ctime = int64(be.Uint64(p[96:]))
	v.Btime = int64(be.Uint64(p[104:]))
	v.AtimeNsec = be.Uint32(p[112:])
	v.MtimeNsec = be.Uint32(p[116:])
	v.CtimeNsec = be.Uint32(p[120:])
	v.BtimeNsec = be.Uint32(p[124:])
	v.Nlink = be.Uint32(p[128:])
	v.UID = be.Uint32(p[132:])
	v.GID = be.Uint32(p[136:])
	v.Blksize = be.Uint32(p[140:])
	v.Mode = be.Uint32(p[144:])
}

// RdevToDev turns Iatt.Rdev into a Linux dev_t as in struct stat.
func RdevToDev(rdev uint64) uint64 { return unix.Mkdev(uint32(rdev>>32), uint32(rdev)) }

// DevToRdev turns a Linux dev_t into Iatt.Rdev.
func DevToRdev(dev uint64) uint64 { return uint64(unix.Major(dev))<<32 | uint64(unix.Minor(dev)) }

// Mdata is the three times that GlusterFS's ctime feature keeps of an inode, as
// a value of a Dict (gfx_mdata_iatt; wire facts, 5.2) [S].
type Mdata struct {
	Atime     int64 // seconds since the epoch, as the next two
	Mtime     int64
	Ctime     int64
	AtimeNsec uint32
	MtimeNsec uint32
	CtimeNsec uint32
}

// MdataSize is the length of an Mdata on the wire.
const MdataSize = 36

// AppendTo appends the 36 bytes.
func (v *Mdata) AppendTo(b []byte) []byte {
	b = AppendInt64(b, v.Atime)
	b = AppendInt64(b, v.Mtime)
	b = AppendInt64(b, v.Ctime)
	b = AppendUint32(b, v.AtimeNsec)
	b = AppendUint32(b, v.MtimeNsec)
	return AppendUint32(b, v.CtimeNsec)
}

func (d *Decoder) mdata(field string, v *Mdata) {
	v.Atime = d.Int64(field)
	v.Mtime = d.Int64(field)
	v.Ctime = d.Int64(field)
	v.AtimeNsec = d.Uint32(field)
	v.MtimeNsec = d.Uint32(field)
	v.CtimeNsec = d.Uint32(field)
}

// OldIatt is the attributes of an inode in the older form, which only
// CacheInvalidation has (gf_iatt, 100 bytes; wire facts, 6.6) [W].
type OldIatt struct {
	GFID      GFID
	Ino       uint64
	Dev       uint64
	Mode      uint32
	Nlink     uint32
	UID       uint32
	GID       uint32
	Rdev      uint64
	Size      uint64
	Blksize   uint32
	Blocks    uint64
	Atime     uint32 // seconds since the epoch, as Mtime and Ctime
	AtimeNsec uint32
	Mtime     uint32
	MtimeNsec uint32
	Ctime     uint32
	CtimeNsec uint32
}

// AppendTo appends the 100 bytes.
func (v *OldIatt) AppendTo(b []byte) []byte {
	b = appendGFID(b, &v.GFID)
	b = AppendUint64(b, v.Ino)
	b = AppendUint64(b, v.Dev)
	b = AppendUint32(b, v.Mode)
	b = AppendUint32(b, v.Nlink)
	b = AppendUint32(b, v.UID)
	b = AppendUint32(b, v.GID)
	b = AppendUint64(b, v.Rdev)
	b = AppendUint64(b, v.Size)
	b = AppendUint32(b, v.Blksize)
	b = AppendUint64(b, v.Blocks)
	b = AppendUint32(b, v.Atime)
	b = AppendUint32(b, v.AtimeNsec)
	b = AppendUint32(b, v.Mtime)
	b = AppendUint32(b, v.MtimeNsec)
	b = AppendUint32(b, v.Ctime)
	return AppendUint32(b, v.CtimeNsec)
}

func (d *Decoder) oldIatt(field string, v *OldIatt) {
	v.GFID = d.GFID(field)
	v.Ino = d.Uint64(field)
	v.Dev = d.Uint64(field)
	v.Mode = d.Uint32(field)
	v.Nlink = d.Uint32(field)
	v.UID = d.Uint32(field)
	v.GID = d.Uint32(field)
	v.Rdev = d.Uint64(field)
	v.Size = d.Uint64(field)
	v.Blksize = d.Uint32(field)
	v.Blocks = d.Uint64(field)
	v.Atime = d.Uint32(field)
	v.AtimeNsec = d.Uint32(field)
	v.Mtime = d.Uint32(field)
	v.MtimeNsec = d.Uint32(field)
	v.Ctime = d.Uint32(field)
	v.CtimeNsec = d.Uint32(field)
}
