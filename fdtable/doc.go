// Package fdtable is everything that outlives a graph but the pool: nodes, base
// fds, the record of their locks, their write errors, and the files that are
// held or pinned. What the kernel holds, a nodeid or an fh, is only a hint: the
// table turns it into an Inode or FD of the graph that serves the file now.
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
// A Node with open fds moves as a whole: an attempt opens every base fd on the
// latest graph (adopting what the pool has), and only when all are open are
// they published. If one cannot be opened the file is pinned: it stays on its
// graph with all its fds, works there, and is tried again with back-off. A held
// file has acknowledged data that its old graph could not yet write; requests
// for it wait for that. A Node without open fds has nothing to move.
//
// # Lock order
//
//	Node.mu                what is open, locks, write errors, pinned
//	  graph.Graph's locks  Bind, Unbind
//	  shard.mu             gfid -> Node, lookup and open counts
//	    slab.mu            numbers
//	    recent.mu          which files keep their Inode without being open
//	Table.holdMu, Table.errMu   alone
//
// A hint.Ref's own lock is taken alone or under Node.mu, and nothing under it.
// None is held across a call into a translator.
//
// # Who keeps whom alive
//
// The shard keeps a Node while the kernel knows it (lookup count) or it has
// open base fds. A BaseFD keeps its Node. A published binding keeps its graph
// from being retired (Graph.Bind).
//
// # What a crash leaves behind
//
// Nothing yet: the table is memory of one process. Numbers are slot and
// generation and are never used twice, which is what lets them be kept in
// shared memory.
package fdtable
