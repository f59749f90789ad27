// Package daemon is the process behind one mount: it glues the graphs, the fd
// table and the FUSE session together, answers the commands, watches the
// volfile, logs, and ends when the mount does.
//
// # What it owns
//
//	Daemon
//	├─ fuse.Session      the kernel's side; Serve runs until the unmount
//	├─ fdtable.Table     what outlives a graph
//	├─ graph.Manager     the graphs
//	├─ xlator.Pool       what outlives a graph in the translators
//	├─ glusterd.Client   the volfile's servers, if the source is a volume of theirs
//	├─ control.Server    the socket in /run/holdfast
//	└─ Log, watcher, metrics
//
// # Lock order
//
//	Daemon.setTurn        one change of settings at a time; held across a switch
//	  Daemon.loadTurn     reading or fetching a volfile and numbering the wish for it
//	    Daemon.mu         fields; nothing is called under it
//
// # Who keeps whom alive
//
// Run keeps everything, and takes it down in the opposite order: session,
// graphs, table, socket, log. Each goroutine is waited for.
//
// # What a crash leaves behind
//
// A mount that answers ENOTCONN until it is unmounted with `umount -l`, and the
// files of package control. Open files do not survive the process yet.
package daemon
