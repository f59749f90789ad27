// Package fdtable is everything that outlives a graph but the pool: nodes, base
// fds, the record of their locks, their write errors, and the files that are
// held or pinned. What the kernel holds, a nodeid or an fh, is only a hint: the
// table turns it into an Inode or FD of the graph that serves the file now. What
// is recorded in durable state memory (package state) outlives the process, too.
//
//	nodeid ─> Node ──hint.Ref──> place (graph, Inode)
//	fh ────> BaseFD ─hint.Ref──> binding (graph, FD)
//
// # One request
//
// UseNode and UseFD resolve, enter the graph, look again whether what they
// resolved is still current, and hand out a [Use] that must be ended with Done.
// A HIT takes no lock and allocates nothing.
//
// # The file lives on one graph
//
// A Node moves with all its base fds that are bound: an attempt opens every one
// of them on the latest graph (adopting what the pool has), and only when all
// are open are they published, in one moment. If one cannot be opened the file is
// pinned: it stays on its graph with all its fds, works there, and is tried again
// with back-off. A held file has acknowledged data that its old graph, or an
// earlier process, could not yet write; requests for it wait for that.
//
// # What is CLOSED lives nowhere
//
// A base fd that an earlier process had open is CLOSED until it is used. It is
// opened then where its file lives, by identity and with the flags of the
// application's open: one attempt for all who wait, repeated with back-off until
// the recovery deadline, interrupted only by the end of the process that waits. A
// file that stays gone for a second is LOST: ESTALE, for ever, for those base fds
// alone. A switch leaves what is CLOSED alone. The last release of a file opens
// it if it is CLOSED, so that the leaf sees the end of one that has no name.
//
// Base fds that nobody uses are closed below, too, when descriptors run short or
// an option says so, unless their file has locks, no name, or data on the way.
//
// # What is recorded, and when
//
// Before the reply that tells the kernel of it: nodes (Found) with their lookup
// counts, base fds (Publish) with the request that opened them. Before the brick
// is told: an unlock. After it has granted: a lock. When it happens: a write
// error. When the reply that reports it has been written: the cursor of who
// reported it (CommitCursor; a reply that is only recorded carries its cursor,
// SetCursor). A base fd's record goes when its release is done, a node's when
// neither the kernel nor a base fd has it. Each is one store, so a kill leaves the
// state before or after.
//
// # Lock order
//
//	Node.mu                what is open, locks, pinned
//	  graph.Graph's locks  Bind, Unbind
//	  state's lock records
//	  shard.mu             gfid -> Node, lookup and open counts
//	    errseq.mu          write errors
//	    Table.errMu        those of files that the kernel has forgotten
//	    slab.mu            numbers
//	    recent.mu          which files keep their Inode without being open
//	Table.holdMu           alone
//	Table.idleMu           first; calls into translators are made with it
//
// With shard.mu held a lookup may wait for the index of what an earlier process
// has recorded; it is made with slab.mu alone.
//
// A hint.Ref's own lock is taken alone or under Node.mu, and nothing under it.
// None but idleMu is held across a call into a translator.
//
// # Who keeps whom alive
//
// The shard keeps a Node while the kernel knows it (lookup count) or it has
// open base fds. A BaseFD keeps its Node. A published binding keeps its graph
// from being retired (Graph.Bind).
//
// # What a crash leaves behind
//
// The records. New takes them over: base fds with their nodes, and locks, at
// once; other nodes when a request names them, by number straight from the
// record, by gfid through an index that is made in the background in the first
// moments. Numbers are slot and generation and are never used twice, in whatever
// process. What is dropped: base fds whose open was never answered (the request
// is carried out again and gets another), nodes that the kernel was never told
// of, locks without their base fd, records that fail their checks (counted and
// logged; what names them gets ESTALE or EBADF). What was counted for a
// request that is carried out again is taken back first (Uncount).
//
// Not recorded: write errors of files that the kernel has forgotten (they are in
// the log), the order of base fds, where a file lived.
package fdtable
