// Package nlcache is performance/nl-cache: it answers a lookup of a name that was
// not there a moment ago, and of a name that cannot be in a directory which this
// client has made itself and knows completely.
//
// # What it owns
//
// For each directory in which it has seen a name, in the directory's Inode: the
// names known to be absent, the requests on names that are under way, and, with
// nl-cache-positive-entry, whether the directory is complete: it was made through
// us, and every name made in it since is on record. A name on record as there only
// says that the child has to be asked. All names of a graph are in one list, least
// recently used last, whose end is dropped when they take more than
// nl-cache-limit.
//
// # When absence is kept
//
// Requests on one name of one directory meet in that directory's list of what is
// under way. A lookup that overlaps a request which may make or remove its name,
// an invalidation of its directory, the loss of the brick, or a change of phase or
// options, is spoiled: its answer goes to who asked and is not kept. So is one in a
// graph that is transparent when it is asked or when it is answered. What an
// unlink or rmdir removed is kept as absent unless another request on that name
// overlapped. A rename proves nothing about the old name: between two names of one
// file it leaves both.
//
// # Locks
//
// translator.mu, never across a call. No other lock is taken under it.
//
// # Who keeps whom alive
//
//	Inode ──> directory ──> names
//	translator.list ──> names ──> directory
//
// A directory whose Inode is gone is held by its names until the list drops them.
//
// # What a crash leaves behind
//
// Nothing.
package nlcache
