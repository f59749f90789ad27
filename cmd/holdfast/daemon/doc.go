// Package daemon is the processes behind a mount. The one that serves it glues
// the graphs, the fd table and the FUSE session together, answers the commands,
// watches the volfile and logs:
//
//	Work   for a keeper that started it      (keep.go: Keep, Adopt)
//	Join   for a keeper service              (keepall.go: KeepAll)
//	Run    alone: the mount dies with it
//
// Keep and Adopt are what a keeper needs beside package keeper: the mount(2),
// the files of package control, signals, and the answers to commands while there
// is no worker.
//
// # What it owns
//
//	Daemon
//	├─ keeper.Link       to the keeper, with copies of all that it keeps
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
//	Daemon.recordMu       what the state memory says of the graph; a leaf
//	changes.mu            what other clients change; the session's queue is below it
//
// # Who keeps whom alive
//
// Daemon.run keeps everything, and takes it down in the opposite order: session,
// graphs, table, socket, log. Each goroutine is waited for, but where the
// process leaves the mount to the next one: then everything is left as it
// stands, and goes with the process.
//
// # What a crash leaves behind
//
// The descriptors that the keeper has, and the state memory, in which the next
// process finds what the kernel believes, the requests in flight, and which
// graph was served (record.go). Of a process without a keeper, or with it: a mount that
// answers ENOTCONN until it is unmounted, and the files of package control.
package daemon
