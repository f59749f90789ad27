// Package hint is the one road by which a handle that outlives what it names
// is turned into something fresh: a [Ref] keeps the last result of opening it,
// with the freshness key under which it was made (a graph's generation, a
// session's number), and makes one new attempt when somebody needs a fresher
// one. Keys only grow; a result is fresh for every key up to its own.
//
// A Ref is CLOSED (no result), OPEN (a result, perhaps stale), REOPENING (one
// attempt in flight, with or without an older result) or LOST (never again).
// [Step] is the whole logic, pure; Ref adds the lock, the channel and the
// goroutine.
//
// Lock order: a Ref's lock guards changes of state, is never held across a
// call and no other lock is taken under it. A published result is immutable
// and read without the lock. Nothing here survives a crash: a Ref starts
// CLOSED.
package hint
