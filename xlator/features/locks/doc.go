// Package locks is the translator features/locks: POSIX record locks, flock,
// and the named-domain locks (inodelk, entrylk) of other translators, for one
// embedded brick.
//
// # What it owns
//
// A [Table] per brick. It lives in the mount's pool under the brick's identity
// and not in a graph: two features/locks of two graphs above the same brick see
// one table, so locks that are held and locks that are waited for pass through
// a switch of the graph without anything being done. The table is closed when
// the last graph lets go of it.
//
// Inside, a pure and synchronous state machine (machine.go) holds, for every
// space (one file's record locks, its flocks, or one domain of inodelk or
// entrylk), the locks that are held and the queue of those that wait, in order
// of arrival. Every step of it leaves no waiter behind that could be granted.
// Table adds the mutex, the channels and the waiting.
//
// # Rules
//
// Record locks and flock are Linux's: only held locks are in the way, never
// earlier waiters; after every change the queue is walked in order of arrival,
// so of two waiters that exclude each other the first is granted. A wait for a
// record lock that closes a circle of owners fails with EDEADLK; a wait for an
// flock does not. Converting an flock gives up the old one first.
//
// Locks belong to an owner, never to an FD, and Release and Flush do nothing
// here. Record locks end by F_UNLCK of their owner, which the bridge sends when
// it sees FLUSH; an flock ends by F_UNLCK too, which the bridge sends when the
// open file is released.
//
// Inodelk and entrylk are kept one by one, not merged: each is unlocked with
// the range or name it was taken with, EINVAL if there is none. An owner does
// not exclude itself.
//
// # Tickets
//
// A waiting Lk with a ticket can be detached: the call ends with
// xlator.ErrDetached, its place in the queue stays and may be granted. The same
// request asked again, through whichever graph, attaches to it or finds it
// granted. Whoever got ErrDetached has to do one of three things, else the lock
// may be granted to nobody:
//
//   - ask again (an interrupted request asks again with its cancelled context
//     and gets EINTR, or the lock);
//   - unlock: F_UNLCK by the owner cancels those of its detached waits that lie
//     within the unlocked range, so closing the file leaves nothing behind;
//   - [Table.Abandon] it, which also puts back what the owner held before the
//     grant.
//
// # Lock order
//
// Table.mu is the only lock, a leaf: nothing is called under it. One mutex for
// all files is on purpose: a circle of waiters may run through several files,
// and a step takes well under a microsecond.
//
// # Who keeps whom alive
//
//	Pool ── Table ── machine ── space ── held locks, waits
//	translator ── Table (one counted share, from Start to Stop)
//
// A space exists while it has locks, waits, or grants not yet fetched. The
// package starts no goroutines: who waits is the caller.
//
// # What a crash leaves behind
//
// Nothing: an embedded brick dies with its process, and so do its locks. The
// mount's own record of them is what the next process takes them again from
// (RestoreLocks), before anything else is served. Waits are taken up again by
// their requests, one after the other in order of arrival: each says, through
// Call.Park, when it has its place in the queue.
package locks
