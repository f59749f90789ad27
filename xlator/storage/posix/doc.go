// Package posix is the translator storage/posix: a directory of a local file
// system served as a brick, in GlusterFS's layout on disk.
//
// # What it owns
//
// A [Runtime] per directory, in the mount's pool: the root descriptor, the
// exclusive flock on .glusterfs/holdfast.lock (the keeper has a duplicate, so it
// holds from one worker to the next), the table of objects, the open descriptors
// and a bounded cache of O_PATH descriptors. A [Brick] is one
// graph's view of it and owns nothing that a switch could lose.
//
// An object is reached through the kernel's file handle (open_by_handle_at),
// never through a path that a rename could pull away. Names are used once, to
// find the handle.
//
// # Lock order
//
//	object.names          of several: in the order of their gfids
//	└─ stream.mu          a directory descriptor's position
//	   └─ gate            the bound on concurrent system calls
//	      └─ object.xattrs   read-modify-write of an attribute
//	         └─ Runtime.descMu, object.mu, pathCache.mu, graveyard.mu, weakMap shards
//	                      memory only, never two at once, never across a system call
//
// object.names is held (for writing) by whatever changes which names an object
// has, and (for reading) while it is being opened. Every operation that makes a
// name point elsewhere holds the names lock of the object it pointed to, and
// looks again after locking; a name that points nowhere is only ever filled
// with RENAME_NOREPLACE or linkat. So a name whose object is locked is stable.
// The gate is always taken after the locks above it, and given back while
// waiting for one of them. xlator.Opens is asked with names held; its lock is a
// leaf.
//
// # Who keeps whom alive
//
//	Pool ── Runtime ┄weak┄> object <── Inode slot, descriptor, path cache, graveyard
//	FD slot ── descriptor (counted by the FDs that share it) ── kernel descriptor
//
// Kernel descriptors are counted (kfd) and closed by the last user, so none is
// closed under a system call.
//
// # What a crash leaves behind
//
// Entries in .glusterfs/staging (objects without a name yet, directory handles
// being replaced) and .glusterfs/unlink (files that were open without a name,
// marks of directories being removed). The next owner of the flock clears both,
// but for the files that applications still have open (xlator.Opens). What a
// request was about to do is in its journal (intent.go): carried out again, it
// finds either the state before or the state after.
// A file that got its name but not yet its handle gets the handle at its next
// lookup.
package posix
