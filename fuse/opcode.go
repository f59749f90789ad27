package fuse

import (
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// Opcodes, as in the kernel's uapi/linux/fuse.h.
const (
	opLookup          = 1
	opForget          = 2
	opGetattr         = 3
	opSetattr         = 4
	opReadlink        = 5
	opSymlink         = 6
	opMknod           = 8
	opMkdir           = 9
	opUnlink          = 10
	opRmdir           = 11
	opRename          = 12
	opLink            = 13
	opOpen            = 14
	opRead            = 15
	opWrite           = 16
	opStatfs          = 17
	opRelease         = 18
	opFsync           = 20
	opSetxattr        = 21
	opGetxattr        = 22
	opListxattr       = 23
	opRemovexattr     = 24
	opFlush           = 25
	opInit            = 26
	opOpendir         = 27
	opReaddir         = 28
	opReleasedir      = 29
	opFsyncdir        = 30
	opGetlk           = 31
	opSetlk           = 32
	opSetlkw          = 33
	opAccess          = 34
	opCreate          = 35
	opInterrupt       = 36
	opBmap            = 37
	opDestroy         = 38
	opIoctl           = 39
	opPoll            = 40
	opNotifyReply     = 41
	opBatchForget     = 42
	opFallocate       = 43
	opReaddirplus     = 44
	opRename2         = 45
	opLseek           = 46
	opCopyFileRange   = 47
	opSyncfs          = 50
	opTmpfile         = 51
	opStatx           = 52
	opCopyFileRange64 = 53

	opCount = 64
)

var opNames = [opCount]string{
	opLookup: "LOOKUP", opForget: "FORGET", opGetattr: "GETATTR", opSetattr: "SETATTR", opReadlink: "READLINK",
	opSymlink: "SYMLINK", opMknod: "MKNOD", opMkdir: "MKDIR", opUnlink: "UNLINK", opRmdir: "RMDIR", opRename: "RENAME",
	opLink: "LINK", opOpen: "OPEN", opRead: "READ", opWrite: "WRITE", opStatfs: "STATFS", opRelease: "RELEASE",
	opFsync: "FSYNC", opSetxattr: "SETXATTR", opGetxattr: "GETXATTR", opListxattr: "LISTXATTR",
	opRemovexattr: "REMOVEXATTR", opFlush: "FLUSH", opInit: "INIT", opOpendir: "OPENDIR", opReaddir: "READDIR",
	opReleasedir: "RELEASEDIR", opFsyncdir: "FSYNCDIR", opGetlk: "GETLK", opSetlk: "SETLK", opSetlkw: "SETLKW",
	opAccess: "ACCESS", opCreate: "CREATE", opInterrupt: "INTERRUPT", opBmap: "BMAP", opDestroy: "DESTROY",
	opIoctl: "IOCTL", opPoll: "POLL", opNotifyReply: "NOTIFY_REPLY", opBatchForget: "BATCH_FORGET",
	opFallocate: "FALLOCATE", opReaddirplus: "READDIRPLUS", opRename2: "RENAME2", opLseek: "LSEEK",
	opCopyFileRange: "COPY_FILE_RANGE", opSyncfs: "SYNCFS", opTmpfile: "TMPFILE", opStatx: "STATX",
	opCopyFileRange64: "COPY_FILE_RANGE_64",
}

// opName is what people call an opcode.
func opName(op uint32) string {
	if op < opCount && opNames[op] != "" {
		return opNames[op]
	}
	return "UNKNOWN"
}

// opFixed is how long the fixed part is, of the operations that go-fuse
// decodes: it would log those that are too short in a place of its own. What is
// not here is a header and names.
var opFixed = [opCount]uintptr{
	opMknod: unsafe.Sizeof(gofuse.MknodIn{}), opRename2: unsafe.Sizeof(gofuse.RenameIn{}), opLink: unsafe.Sizeof(gofuse.LinkIn{}),
	opFsync: unsafe.Sizeof(gofuse.FsyncIn{}), opFsyncdir: unsafe.Sizeof(gofuse.FsyncIn{}),
	opSetxattr: unsafe.Sizeof(gofuse.InHeader{}) + 8, opGetxattr: unsafe.Sizeof(gofuse.GetXAttrIn{}), opListxattr: unsafe.Sizeof(gofuse.GetXAttrIn{}),
	opReaddir: unsafe.Sizeof(gofuse.ReadIn{}), opReaddirplus: unsafe.Sizeof(gofuse.ReadIn{}),
	opGetlk: unsafe.Sizeof(gofuse.LkIn{}), opSetlk: unsafe.Sizeof(gofuse.LkIn{}), opSetlkw: unsafe.Sizeof(gofuse.LkIn{}),
	opAccess: unsafe.Sizeof(gofuse.AccessIn{}), opTmpfile: unsafe.Sizeof(gofuse.CreateIn{}),
	opFallocate: unsafe.Sizeof(gofuse.FallocateIn{}), opLseek: unsafe.Sizeof(gofuse.LseekIn{}),
	opCopyFileRange: unsafe.Sizeof(gofuse.CopyFileRangeIn{}),
}
