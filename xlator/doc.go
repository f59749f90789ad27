// Package xlator is what a translator is written against: the [Fops] interface
// with its requests and replies, [Inode] and [FD] with their per-translator
// slots, attributes, dictionaries, options, errors, the caller's identity and
// the phase of the graph. It can be read in one sitting and holds no policy.
//
// # The shape of a call
//
// A fop is a blocking call, request in, reply out, error last. A translator
// embeds [Default], which forwards everything to its only child, and writes the
// methods it changes. [Intercept] turns one function into a translator.
//
//	Writev(ctx, *WritevReq) (*WritevRep, error)
//
// The context is a [*Call] or wraps one: it says who asks ([CallFrom]) and
// carries the request's FUSE unique and step counter. Only waits (a lock, a
// held file) may end early because the context was cancelled; what has been
// sent runs to its end. Requests belong to the caller until the call returns;
// a translator that keeps one beyond that copies it. The same holds for []byte
// fields, except where [Payload] says otherwise. Replies belong to the caller.
//
// # Who keeps whom alive
//
//	mount ── Pool ── brick runtimes, lock tables, sessions     (outlive graphs)
//	graph ── translators ── slots' indices
//	      └─ InodeTable ┄weak┄> Inode <── node, FD, queue, running request
//	FD ──> Inode ──> slots (one per translator of that graph)
//
// Inode and FD are immutable identity plus slots. Slots die with them by
// garbage collection; only what is not memory (descriptors, remote fds) needs
// Release.
//
// # Lock order
//
// This package locks only inside InodeTable and Pool, one shard or one map at
// a time, and never calls out with a lock held.
//
// # What a crash leaves behind
//
// Nothing: all of it is memory of one process.
package xlator
