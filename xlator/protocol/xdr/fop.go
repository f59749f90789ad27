package xdr

import "strconv"

// Fop is a procedure number of ProgramFops (wire facts, 7) [W].
type Fop uint32

// The fops. 49, COMPOUND, was removed from the protocol.
const (
	FopStat          Fop = 1
	FopReadlink      Fop = 2
	FopMknod         Fop = 3
	FopMkdir         Fop = 4
	FopUnlink        Fop = 5
	FopRmdir         Fop = 6
	FopSymlink       Fop = 7
	FopRename        Fop = 8
	FopLink          Fop = 9
	FopTruncate      Fop = 10
	FopOpen          Fop = 11
	FopRead          Fop = 12
	FopWrite         Fop = 13
	FopStatfs        Fop = 14
	FopFlush         Fop = 15
	FopFsync         Fop = 16
	FopSetxattr      Fop = 17
	FopGetxattr      Fop = 18
	FopRemovexattr   Fop = 19
	FopOpendir       Fop = 20
	FopFsyncdir      Fop = 21
	FopAccess        Fop = 22
	FopCreate        Fop = 23
	FopFtruncate     Fop = 24
	FopFstat         Fop = 25
	FopLk            Fop = 26
	FopLookup        Fop = 27
	FopReaddir       Fop = 28
	FopInodelk       Fop = 29
	FopFinodelk      Fop = 30
	FopEntrylk       Fop = 31
	FopFentrylk      Fop = 32
	FopXattrop       Fop = 33
	FopFxattrop      Fop = 34
	FopFgetxattr     Fop = 35
	FopFsetxattr     Fop = 36
	FopRchecksum     Fop = 37
	FopSetattr       Fop = 38
	FopFsetattr      Fop = 39
	FopReaddirp      Fop = 40
	FopRelease       Fop = 41
	FopReleasedir    Fop = 42
	FopFremovexattr  Fop = 43
	FopFallocate     Fop = 44
	FopDiscard       Fop = 45
	FopZerofill      Fop = 46
	FopIpc           Fop = 47
	FopSeek          Fop = 48
	FopLease         Fop = 50
	FopGetactivelk   Fop = 51
	FopSetactivelk   Fop = 52
	FopIcreate       Fop = 53
	FopNamelink      Fop = 54
	FopPut           Fop = 55
	FopCopyFileRange Fop = 56
)

// fopMax is the highest number.
const fopMax = FopCopyFileRange

// String is the name of the fop in capitals.
func (f Fop) String() string {
	names := [...]string{
		FopStat: "STAT", FopReadlink: "READLINK", FopMknod: "MKNOD", FopMkdir: "MKDIR", FopUnlink: "UNLINK",
		FopRmdir: "RMDIR", FopSymlink: "SYMLINK", FopRename: "RENAME", FopLink: "LINK", FopTruncate: "TRUNCATE",
		FopOpen: "OPEN", FopRead: "READ", FopWrite: "WRITE", FopStatfs: "STATFS", FopFlush: "FLUSH",
		FopFsync: "FSYNC", FopSetxattr: "SETXATTR", FopGetxattr: "GETXATTR", FopRemovexattr: "REMOVEXATTR",
		FopOpendir: "OPENDIR", FopFsyncdir: "FSYNCDIR", FopAccess: "ACCESS", FopCreate: "CREATE",
		FopFtruncate: "FTRUNCATE", FopFstat: "FSTAT", FopLk: "LK", FopLookup: "LOOKUP", FopReaddir: "READDIR",
		FopInodelk: "INODELK", FopFinodelk: "FINODELK", FopEntrylk: "ENTRYLK", FopFentrylk: "FENTRYLK",
		FopXattrop: "XATTROP", FopFxattrop: "FXATTROP", FopFgetxattr: "FGETXATTR", FopFsetxattr: "FSETXATTR",
		FopRchecksum: "RCHECKSUM", FopSetattr: "SETATTR", FopFsetattr: "FSETATTR", FopReaddirp: "READDIRP",
		FopRelease: "RELEASE", FopReleasedir: "RELEASEDIR", FopFremovexattr: "FREMOVEXATTR",
		FopFallocate: "FALLOCATE", FopDiscard: "DISCARD", FopZerofill: "ZEROFILL", FopIpc: "IPC", FopSeek: "SEEK",
		FopLease: "LEASE", FopGetactivelk: "GETACTIVELK", FopSetactivelk: "SETACTIVELK", FopIcreate: "ICREATE",
		FopNamelink: "NAMELINK", FopPut: "PUT", FopCopyFileRange: "COPY_FILE_RANGE",
	}
	if int(f) < len(names) && names[f] != "" {
		return names[f]
	}
	return "fop " + strconv.Itoa(int(f))
}
