// Package graph builds translator graphs from volfiles and replaces the one in
// service while applications do I/O: make before break.
//
//	parse, diff
//	  same text ........................ nothing
//	  same topology, only live options . reconfigured in place
//	  else: BUILD, CONNECT, DRAIN the old, SWAP, MOVE, SETTLE, RETIRE the old
//
// [StepSwitch], [StepSettle] and [StepRetire] decide, and are pure;
// [Manager] carries out what they say.
//
// # What it owns
//
// The graphs: their translators, inode tables, phases and counters of running
// requests. The files that move from one graph to the next belong to a
// [Tenant] (package fdtable). What outlives graphs is in the xlator.Pool of
// the mount, which the Manager hands on but does not own.
//
// # Lock order
//
//	Manager.reloadMu           one Reload talks to the loop at a time
//	  (loop goroutine)         owns the switch state; no lock
//	    Manager.mu             live graphs, settle state, counters
//	      Graph.lateMu         FDs to be released at retirement
//
// No lock is held across a call into a translator or the Tenant, except that
// the Tenant may call Manager.Astray under its own node lock.
//
// # Who keeps whom alive
//
// The Manager keeps every live graph until its retirement. A request keeps the
// graph it entered from being retired (Graph.Enter); a binding of an FD does
// so through Graph.Bind.
//
// # What a crash leaves behind
//
// Nothing: graphs are memory of one process, and are built again from the
// volfile.
package graph
