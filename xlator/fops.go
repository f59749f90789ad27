package xlator

import (
	"context"

	"golang.org/x/sys/unix"
)

//go:generate go run gen.go

// Fops is every operation that flows through the graph, with GlusterFS's names.
// Each is a blocking call; an error carries a syscall.Errno (see Errno).
//
// Loc-like requests name an object by an Inode of this graph, an entry by the
// parent's Inode and a name. Replies carry Inodes and FDs of this graph.
// Attributes in a reply that are not known (or must not be given out, because
// writes are queued) are left zero: Iatt.Valid says so.
type Fops interface {
	// Lookup finds an entry by Parent and Name, or an object by GFID when
	// Parent is nil.
	Lookup(context.Context, *LookupReq) (*LookupRep, error)
	Stat(context.Context, *StatReq) (*AttrRep, error)
	Fstat(context.Context, *FstatReq) (*AttrRep, error)
	Setattr(context.Context, *SetattrReq) (*AttrRep, error)
	Fsetattr(context.Context, *FsetattrReq) (*AttrRep, error)
	Truncate(context.Context, *TruncateReq) (*AttrRep, error)
	Ftruncate(context.Context, *FtruncateReq) (*AttrRep, error)
	Access(context.Context, *AccessReq) (*Empty, error)
	Readlink(context.Context, *ReadlinkReq) (*ReadlinkRep, error)
	Mknod(context.Context, *MknodReq) (*EntryRep, error)
	Mkdir(context.Context, *MkdirReq) (*EntryRep, error)
	Symlink(context.Context, *SymlinkReq) (*EntryRep, error)
	Link(context.Context, *LinkReq) (*EntryRep, error)
	Unlink(context.Context, *UnlinkReq) (*UnlinkRep, error)
	Rmdir(context.Context, *RmdirReq) (*UnlinkRep, error)
	Rename(context.Context, *RenameReq) (*RenameRep, error)
	// Create makes and opens a regular file, or opens the one that is there
	// unless O_EXCL is set. The FD carries its final inode.
	Create(context.Context, *CreateReq) (*CreateRep, error)
	// Icreate makes and opens a regular file without a name (O_TMPFILE); Link
	// may give it one.
	Icreate(context.Context, *IcreateReq) (*CreateRep, error)
	// Open opens an existing object. Truncation is not part of it.
	Open(context.Context, *OpenReq) (*OpenRep, error)
	Opendir(context.Context, *OpenReq) (*OpenRep, error)
	// Release ends an FD of Create, Icreate, Open or Opendir. It is called
	// once, after every other call with that FD has returned.
	Release(*FD)
	Readv(context.Context, *ReadvReq) (*ReadvRep, error)
	Writev(context.Context, *WritevReq) (*WritevRep, error)
	// Flush is sent at each close(2) of the FD.
	Flush(context.Context, *FlushReq) (*Empty, error)
	Fsync(context.Context, *FsyncReq) (*AttrRep, error)
	Fsyncdir(context.Context, *FsyncReq) (*Empty, error)
	// Readdir lists names; Readdirp also gives Inode and attributes. An empty
	// reply is the end.
	Readdir(context.Context, *ReaddirReq) (*ReaddirRep, error)
	Readdirp(context.Context, *ReaddirReq) (*ReaddirRep, error)
	Statfs(context.Context, *StatfsReq) (*StatfsRep, error)
	// Getxattr and Fgetxattr return the attribute of that name (ENODATA
	// without it), or all of them when Name is empty.
	Getxattr(context.Context, *GetxattrReq) (*XattrRep, error)
	Fgetxattr(context.Context, *FgetxattrReq) (*XattrRep, error)
	Setxattr(context.Context, *SetxattrReq) (*Empty, error)
	Fsetxattr(context.Context, *FsetxattrReq) (*Empty, error)
	Removexattr(context.Context, *RemovexattrReq) (*Empty, error)
	Fremovexattr(context.Context, *FremovexattrReq) (*Empty, error)
	// Xattrop and Fxattrop change attributes as arrays of numbers, atomically.
	Xattrop(context.Context, *XattropReq) (*XattrRep, error)
	Fxattrop(context.Context, *FxattropReq) (*XattrRep, error)
	// Lk is fcntl(2) and flock(2) locking.
	Lk(context.Context, *LkReq) (*LkRep, error)
	// Inodelk, Finodelk, Entrylk and Fentrylk are the translators' own locks,
	// in named domains.
	Inodelk(context.Context, *InodelkReq) (*Empty, error)
	Finodelk(context.Context, *FinodelkReq) (*Empty, error)
	Entrylk(context.Context, *EntrylkReq) (*Empty, error)
	Fentrylk(context.Context, *FentrylkReq) (*Empty, error)
	Fallocate(context.Context, *FallocateReq) (*AttrRep, error)
	Discard(context.Context, *DiscardReq) (*AttrRep, error)
	Zerofill(context.Context, *ZerofillReq) (*AttrRep, error)
	Seek(context.Context, *SeekReq) (*SeekRep, error)
	CopyFileRange(context.Context, *CopyFileRangeReq) (*CopyFileRangeRep, error)
	Rchecksum(context.Context, *RchecksumReq) (*RchecksumRep, error)
	Ipc(context.Context, *IpcReq) (*IpcRep, error)
}

// Empty is a reply without content.
type Empty struct{}

// LookupReq asks for an entry (Parent, Name) or, with a nil Parent, for GFID.
type LookupReq struct {
	Parent *Inode
	Name   string
	GFID   GFID
	Xdata  *Dict
}

// LookupRep is what was found.
type LookupRep struct {
	Inode *Inode
	Attr  Iatt
	Xdata *Dict
}

// StatReq asks for the attributes of an object.
type StatReq struct{ Inode *Inode }

// FstatReq asks for the attributes of an open object.
type FstatReq struct{ FD *FD }

// AttrRep carries the attributes after the operation; not Valid where unknown.
type AttrRep struct {
	Attr Iatt
	// Pre is the attributes before it, for those who check that nobody else
	// changed the object in between; not Valid where unknown.
	Pre Iatt
}

// SetattrMask says which fields of a Setattr count.
type SetattrMask uint32

// Fields of a Setattr.
const (
	SetMode SetattrMask = 1 << iota
	SetUID
	SetGID
	SetAtime
	SetMtime
	SetAtimeNow
	SetMtimeNow
	SetCtime
	// SetKillPriv clears set-uid, set-gid (where group-executable) and file
	// capabilities as chown(2) and write(2) do.
	SetKillPriv
)

// Setattr is the change of attributes of SetattrReq and FsetattrReq.
type Setattr struct {
	Mask  SetattrMask
	Mode  uint32
	UID   uint32
	GID   uint32
	Atime Time
	Mtime Time
	Ctime Time
}

// SetattrReq changes attributes other than the size.
type SetattrReq struct {
	Inode *Inode
	Setattr
}

// FsetattrReq changes attributes of an open object.
type FsetattrReq struct {
	FD *FD
	Setattr
}

// TruncateReq sets the size of a file.
type TruncateReq struct {
	Inode *Inode
	Size  uint64
	// KillPriv asks to clear set-uid, set-gid and capabilities.
	KillPriv bool
}

// FtruncateReq sets the size of an open file.
type FtruncateReq struct {
	FD       *FD
	Size     uint64
	KillPriv bool
}

// AccessReq asks whether the caller may; Mask is as in access(2).
type AccessReq struct {
	Inode *Inode
	Mask  uint32
}

// ReadlinkReq asks where a symbolic link points.
type ReadlinkReq struct{ Inode *Inode }

// ReadlinkRep is the target.
type ReadlinkRep struct{ Target string }

// MakeReq is what mknod, mkdir, symlink and create have in common. GFID is the
// identity chosen by the client for what is made. Owner is the Call's uid and
// gid; Umask applies unless the parent has a default ACL.
type MakeReq struct {
	Parent *Inode
	Name   string
	GFID   GFID
	Mode   uint32 // permission bits with set-uid, set-gid and sticky
	Umask  uint32
	Xdata  *Dict
}

// MknodReq makes a regular file, device, FIFO or socket.
type MknodReq struct {
	MakeReq
	Type FileType
	Rdev uint64 // as in mknod(2)
}

// MkdirReq makes a directory.
type MkdirReq struct{ MakeReq }

// SymlinkReq makes a symbolic link.
type SymlinkReq struct {
	MakeReq
	Target string
}

// LinkReq gives an object another name.
type LinkReq struct {
	Inode  *Inode
	Parent *Inode
	Name   string
}

// EntryRep is what was made, with the parent's attributes after it.
type EntryRep struct {
	Inode      *Inode
	Attr       Iatt
	PostParent Iatt
}

// UnlinkReq removes a name of a non-directory. Victim, when not zero, is the
// only identity that may be removed: another is ENOENT. Xdata may hold what a
// GlusterFS brick is to make sure of.
type UnlinkReq struct {
	Parent *Inode
	Name   string
	Victim GFID
	Xdata  *Dict
}

// RmdirReq removes an empty directory; Victim as in UnlinkReq.
type RmdirReq struct {
	Parent *Inode
	Name   string
	Victim GFID
}

// UnlinkRep says what was removed: Removed is its identity, Attr its attributes
// afterwards (Nlink 0 when that was the last name).
type UnlinkRep struct {
	Removed    GFID
	Attr       Iatt
	PostParent Iatt
}

// RenameReq renames; Flags are RENAME_NOREPLACE and RENAME_EXCHANGE.
type RenameReq struct {
	OldParent, NewParent *Inode
	OldName, NewName     string
	Flags                uint32
}

// RenameRep says what was moved and what was replaced (zero if nothing was).
type RenameRep struct {
	Moved         GFID
	Attr          Iatt
	Replaced      GFID
	ReplacedAttr  Iatt
	PostOldParent Iatt
	PostNewParent Iatt
}

// CreateReq makes and opens a regular file.
type CreateReq struct {
	MakeReq
	Flags uint32 // open(2)
	Base  uint64 // number of the base fd
}

// IcreateReq makes and opens a file without a name on the file system of
// Parent.
type IcreateReq struct {
	MakeReq
	Flags uint32
	Base  uint64
}

// CreateRep is the open file.
type CreateRep struct {
	FD         *FD
	Attr       Iatt
	PostParent Iatt
	// Made says that the file was not there before.
	Made bool
}

// OpenReq opens an object on behalf of base fd Base (0: for the client itself).
type OpenReq struct {
	Inode *Inode
	Flags uint32
	Base  uint64
	// Reopen says that the open was granted before: rights are not checked
	// again, and a descriptor kept under (Base, gfid, Flags) is adopted.
	Reopen bool
}

// OpenRep is the open object.
type OpenRep struct{ FD *FD }

// ReadvReq reads Size bytes at Offset. Flags are the FD's current flags
// (O_DIRECT may differ from the open).
type ReadvReq struct {
	FD     *FD
	Size   int
	Offset int64
	Flags  uint32
	Dst    Destination
}

// GrabDst returns n bytes for the reply: the Destination's, or the heap's.
func (r *ReadvReq) GrabDst(n int) []byte {
	if r.Dst == nil {
		return make([]byte, n)
	}
	return r.Dst.Grab(n)
}

// ReadvRep is the data, shorter than asked for at the end of the file. Attr is
// the file's attributes after the read where they came with it.
type ReadvRep struct {
	Data []byte
	Attr Iatt
}

// WritevReq writes at Offset. Flags are the FD's current flags. A write on an
// FD with O_APPEND carries the offset that the kernel computed.
type WritevReq struct {
	FD       *FD
	Payload  Payload
	Offset   int64
	Flags    uint32
	KillPriv bool
	// Paged says that the kernel writes back pages of a map or cache: the
	// caller is not the process that wrote.
	Paged bool
}

// WritevRep says how much was written, and the attributes after it where they
// are known.
type WritevRep struct {
	Size int
	Attr Iatt
	Pre  Iatt
}

// FlushReq is a close(2) by the Call's LockOwner.
type FlushReq struct{ FD *FD }

// FsyncReq makes what was written durable; Datasync as in fdatasync(2).
type FsyncReq struct {
	FD       *FD
	Datasync bool
}

// ReaddirReq lists from Offset, which is 0 or the Offset of an entry got
// before, in about Size bytes of names.
type ReaddirReq struct {
	FD     *FD
	Offset int64
	Size   int
	Xdata  *Dict
}

// DirEntry is one name. Offset continues after it. Inode and Attr are set by
// Readdirp where known; GFID and Type always, except for "." and "..".
type DirEntry struct {
	Name   string
	Offset int64
	Type   FileType
	GFID   GFID
	Inode  *Inode
	Attr   Iatt
}

// ReaddirRep is entries in order; none means the end.
type ReaddirRep struct{ Entries []DirEntry }

// StatfsReq asks about the file system of an object.
type StatfsReq struct{ Inode *Inode }

// StatfsRep is as statvfs(3).
type StatfsRep struct {
	Bsize, Frsize         uint64
	Blocks, Bfree, Bavail uint64
	Files, Ffree          uint64
	NameMax               uint64
}

// GetxattrReq asks for one attribute, or for all with an empty Name.
type GetxattrReq struct {
	Inode *Inode
	Name  string
}

// FgetxattrReq is GetxattrReq for an open object.
type FgetxattrReq struct {
	FD   *FD
	Name string
}

// XattrRep is the attributes asked for.
type XattrRep struct{ Xattrs *Dict }

// SetxattrReq sets attributes; Flags are XATTR_CREATE and XATTR_REPLACE.
type SetxattrReq struct {
	Inode  *Inode
	Xattrs *Dict
	Flags  uint32
	// KillSGID clears set-gid along with a change of the access ACL.
	KillSGID bool
}

// FsetxattrReq is SetxattrReq for an open object.
type FsetxattrReq struct {
	FD       *FD
	Xattrs   *Dict
	Flags    uint32
	KillSGID bool
}

// RemovexattrReq removes one attribute.
type RemovexattrReq struct {
	Inode *Inode
	Name  string
}

// FremovexattrReq removes one attribute of an open object.
type FremovexattrReq struct {
	FD   *FD
	Name string
}

// XattropKind is how Xattrop changes an array of big-endian numbers.
type XattropKind uint8

// Kinds of Xattrop, numbered as on GlusterFS's wire.
const (
	XattropAddArray XattropKind = iota
	XattropAddArray64
	XattropOrArray
	XattropAndArray
	XattropGetAndSet
)

// XattropReq changes attributes of an object and returns the new values.
type XattropReq struct {
	Inode  *Inode
	Kind   XattropKind
	Xattrs *Dict
}

// FxattropReq is XattropReq for an open object.
type FxattropReq struct {
	FD     *FD
	Kind   XattropKind
	Xattrs *Dict
}

// LkCmd is what a lock request wants.
type LkCmd uint8

// Lock commands.
const (
	LkGet  LkCmd = iota // F_GETLK
	LkSet               // F_SETLK, LOCK_NB
	LkWait              // F_SETLKW
	// LkCancel gives up the Ticket of a detached LkWait. What was granted to
	// it meanwhile is trimmed to Keep, which is what the client's record says
	// the owner holds.
	LkCancel
)

// Lock is a record lock or an flock. Start and End are inclusive offsets; End
// is math.MaxInt64 for "to the end of the file".
type Lock struct {
	Type       int16 // unix.F_RDLCK, F_WRLCK or F_UNLCK
	Start, End int64
	Owner      uint64
	PID        uint32
	// Flock marks flock(2) locks: they never meet record locks.
	Flock bool
	// Base is the base fd that the lock was taken through; only LockRestorer is
	// told.
	Base uint64
}

// LkReq asks for, sets or clears a lock.
type LkReq struct {
	FD   *FD
	Cmd  LkCmd
	Lock Lock
	// Ticket names a place in the queue of a LkWait: the same (file, owner,
	// range, Ticket) asked again attaches to it. Zero means none.
	Ticket uint64
	// Keep is for LkCancel: the locks of that owner on the file, by record.
	Keep []Lock
	// Detach, when closed, ends a LkWait with ErrDetached and keeps its place.
	Detach <-chan struct{}
}

// LkRep answers LkGet: the first lock in the way, or Type F_UNLCK.
type LkRep struct{ Lock Lock }

// InodelkReq locks a range of an inode in a domain, for a translator.
type InodelkReq struct {
	Inode  *Inode
	Domain string
	Cmd    LkCmd
	Lock   Lock
}

// FinodelkReq is InodelkReq for an open file.
type FinodelkReq struct {
	FD     *FD
	Domain string
	Cmd    LkCmd
	Lock   Lock
}

// EntrylkReq locks a name in a directory (all names when empty) in a domain.
type EntrylkReq struct {
	Inode  *Inode
	Domain string
	Name   string
	Cmd    LkCmd
	Type   int16
	Owner  uint64
}

// FentrylkReq is EntrylkReq for an open directory.
type FentrylkReq struct {
	FD     *FD
	Domain string
	Name   string
	Cmd    LkCmd
	Type   int16
	Owner  uint64
}

// FallocateReq allocates; Mode is 0 or FALLOC_FL_KEEP_SIZE. Other modes are
// Discard (FALLOC_FL_PUNCH_HOLE) and Zerofill (FALLOC_FL_ZERO_RANGE), or go
// through Mode as they are where a brick knows them.
type FallocateReq struct {
	FD          *FD
	Mode        uint32
	Offset, Len int64
	KillPriv    bool
}

// DiscardReq punches a hole; the size stays.
type DiscardReq struct {
	FD          *FD
	Offset, Len int64
	KillPriv    bool
}

// ZerofillReq writes zeros; KeepSize as FALLOC_FL_KEEP_SIZE.
type ZerofillReq struct {
	FD          *FD
	Offset, Len int64
	KeepSize    bool
	KillPriv    bool
}

// SeekReq looks for data (unix.SEEK_DATA) or a hole (unix.SEEK_HOLE).
type SeekReq struct {
	FD     *FD
	Offset int64
	Whence uint32
}

// SeekRep is where it is.
type SeekRep struct{ Offset int64 }

// CopyFileRangeReq copies within the volume.
type CopyFileRangeReq struct {
	Src, Dst       *FD
	SrcOff, DstOff int64
	Len            int64
	KillPriv       bool
}

// CopyFileRangeRep says how much was copied, with Dst's attributes after it.
type CopyFileRangeRep struct {
	Size int64
	Attr Iatt
}

// RchecksumReq asks for checksums of a range.
type RchecksumReq struct {
	FD     *FD
	Offset int64
	Len    int
}

// RchecksumRep is a weak (adler32-like) and a strong (SHA-256) checksum.
type RchecksumRep struct {
	Weak   uint32
	Strong []byte
}

// IpcReq is a message between translators.
type IpcReq struct {
	Op    int32
	Xdata *Dict
}

// IpcRep is its answer.
type IpcRep struct{ Xdata *Dict }

// CleanOpenFlags leaves out of open(2) flags what must happen once only.
func CleanOpenFlags(f uint32) uint32 {
	return f &^ (unix.O_CREAT | unix.O_EXCL | unix.O_TRUNC | unix.O_NOCTTY | unix.O_TMPFILE&^unix.O_DIRECTORY)
}
