package xdr

// Limits of the decoder. They bound what one message may make us allocate or
// keep; a record itself is bounded by who receives it.
const (
	// MaxName bounds names of entries, attributes, lock domains, bricks and
	// programs, and the targets of symbolic links: Linux's PATH_MAX. Names over
	// 255 bytes pass, so that whoever knows the back-end can answer
	// ENAMETOOLONG.
	MaxName = 4096
	// MaxLockOwner bounds the owner of a lock (wire facts, 15) [W].
	MaxLockOwner = 1024
	// MaxChecksum bounds RCHECKSUM's strong checksum: SHA-256 has 32 bytes.
	MaxChecksum = 256
	// MaxDictPairs bounds the entries of one dictionary. GlusterFS has no
	// limit; the attributes of a file fit in 64 KiB of names on Linux.
	MaxDictPairs = 65536
	// MaxVolfile bounds the text of a volfile in bytes.
	MaxVolfile = 16 << 20
	// MaxMessage bounds the error text of a management reply in bytes.
	MaxMessage = 64 << 10
)
