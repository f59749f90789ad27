package xlator

import "golang.org/x/sys/unix"

// FileType is the type of an inode.
type FileType uint8

// The numbers are those of GlusterFS's wire format.
const (
	TypeInvalid FileType = iota
	TypeRegular
	TypeDirectory
	TypeSymlink
	TypeBlock
	TypeChar
	TypeFIFO
	TypeSocket
)

var typeModes = [...]uint32{0, unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFBLK, unix.S_IFCHR, unix.S_IFIFO, unix.S_IFSOCK}

// Mode returns the S_IFMT bits of the type.
func (t FileType) Mode() uint32 {
	if int(t) < len(typeModes) {
		return typeModes[t]
	}
	return 0
}

// TypeOf returns the type that the S_IFMT bits of mode say.
func TypeOf(mode uint32) FileType {
	for t := TypeRegular; t <= TypeSocket; t++ {
		if typeModes[t] == mode&unix.S_IFMT {
			return t
		}
	}
	return TypeInvalid
}

func (t FileType) String() string {
	names := [...]string{"invalid", "regular", "directory", "symlink", "block", "char", "fifo", "socket"}
	if int(t) < len(names) {
		return names[t]
	}
	return "invalid"
}

// Time is seconds and nanoseconds since the epoch.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Iatt is the attributes of an inode. Link counts leave out GlusterFS's own
// handle; Blocks counts 512-byte units.
type Iatt struct {
	GFID    GFID
	Type    FileType
	Mode    uint32 // permission bits, with S_ISUID, S_ISGID and S_ISVTX
	Nlink   uint32
	UID     uint32
	GID     uint32
	Rdev    uint64 // as in struct stat
	Size    uint64
	Blksize uint32
	Blocks  uint64
	Atime   Time
	Mtime   Time
	Ctime   Time
	Btime   Time // zero where unknown
}

// Valid reports whether the attributes are of something: a zero Iatt says that
// they are not known and must be asked for.
func (a *Iatt) Valid() bool { return a.Type != TypeInvalid }

// StMode is st_mode: type and permission bits.
func (a *Iatt) StMode() uint32 { return a.Type.Mode() | a.Mode }
