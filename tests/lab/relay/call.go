package relay

import (
	"fmt"
	"strings"
)

// Call is one procedure of one RPC program: the program's number in the upper
// half, the procedure's in the lower. Versions are not told apart.
type Call uint64

// Of makes a Call of any two numbers.
func Of(program, procedure uint32) Call { return Call(program)<<32 | Call(procedure) }

// Program is the RPC program's number.
func (c Call) Program() uint32 { return uint32(c >> 32) }

// Procedure is the procedure's number in its program.
func (c Call) Procedure() uint32 { return uint32(c) }

// The programs of GlusterFS 10.
const (
	programDump      = 123451501
	programHandshake = 14398633
	programPortmap   = 34123456
	programFops      = 1298437
	programCallback  = 52743234

	dump      Call = programDump << 32
	handshake Call = programHandshake << 32
	portmap   Call = programPortmap << 32
	fops      Call = programFops << 32
	callback  Call = programCallback << 32
)

// The calls that every connection knows, and those of the management daemon.
const (
	Dump        = dump | 1
	Ping        = dump | 2
	Setvolume   = handshake | 1
	Getspec     = handshake | 2
	PortByBrick = portmap | 1
	Signin      = portmap | 4
	Signout     = portmap | 5
)

// The calls that servers make.
const (
	Fetchspec          = callback | 1
	CacheInvalidation  = callback | 5
	ChildUp            = callback | 6
	ChildDown          = callback | 7
	InodelkContention  = callback | 10
	EntrylkContention  = callback | 11
	RecallLease        = callback | 8
	StatedumpRequested = callback | 9
)

// The fops of a brick.
const (
	Stat Call = fops + 1 + iota
	Readlink
	Mknod
	Mkdir
	Unlink
	Rmdir
	Symlink
	Rename
	Link
	Truncate
	Open
	Readv
	Writev
	Statfs
	Flush
	Fsync
	Setxattr
	Getxattr
	Removexattr
	Opendir
	Fsyncdir
	Access
	Create
	Ftruncate
	Fstat
	Lk
	Lookup
	Readdir
	Inodelk
	Finodelk
	Entrylk
	Fentrylk
	Xattrop
	Fxattrop
	Fgetxattr
	Fsetxattr
	Rchecksum
	Setattr
	Fsetattr
	Readdirp
	Release
	Releasedir
	Fremovexattr
	Fallocate
	Discard
	Zerofill
	Ipc
	Seek
	_ // COMPOUND, which is gone
	Lease
	Getactivelk
	Setactivelk
	Icreate
	Namelink
	Put
	CopyFileRange
)

const fopNames = "STAT READLINK MKNOD MKDIR UNLINK RMDIR SYMLINK RENAME LINK TRUNCATE OPEN READ WRITE STATFS FLUSH FSYNC " +
	"SETXATTR GETXATTR REMOVEXATTR OPENDIR FSYNCDIR ACCESS CREATE FTRUNCATE FSTAT LK LOOKUP READDIR INODELK FINODELK " +
	"ENTRYLK FENTRYLK XATTROP FXATTROP FGETXATTR FSETXATTR RCHECKSUM SETATTR FSETATTR READDIRP RELEASE RELEASEDIR " +
	"FREMOVEXATTR FALLOCATE DISCARD ZEROFILL IPC SEEK COMPOUND LEASE GETACTIVELK SETACTIVELK ICREATE NAMELINK PUT " +
	"COPY_FILE_RANGE"

// String is the call's name in GlusterFS, or its numbers.
func (c Call) String() string {
	names := strings.Fields(fopNames)
	if n := int(c.Procedure()); c.Program() == programFops && n >= 1 && n <= len(names) {
		return names[n-1]
	}
	switch c {
	case Dump:
		return "DUMP"
	case Ping:
		return "PING"
	case Setvolume:
		return "SETVOLUME"
	case Getspec:
		return "GETSPEC"
	case PortByBrick:
		return "PORTBYBRICK"
	case Fetchspec:
		return "FETCHSPEC"
	}
	return fmt.Sprintf("%d/%d", c.Program(), c.Procedure())
}
