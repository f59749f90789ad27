// Package control is how the commands find and talk to the process behind a
// mount, without touching the mount point: that must work while it hangs.
//
// A mount is found in /proc/self/mountinfo by the text of its path. The minor
// number of its device, which is also the number of its FUSE connection, names
// two files in /run/holdfast (mode 0700):
//
//	N.sock   a process listens here: one JSON request line, one JSON reply line
//	N.json   who is behind the mount (State): processes, source, mount point, log
//	ending-PID.json   the same, from the unmount to the end of the processes
//
// The listening socket outlives who answers on it: the keeper holds it, and each
// worker serves it in turn. A command that comes in between waits in its queue; one
// whose process dies over it asks the next (Client.Ask).
//
// # What it owns
//
// Its files: made by Make, removed by Files.Remove. The file `lock` in the
// directory orders this between processes. A Server owns its connections.
//
// # Lock order
//
// Server.mu guards its set of open connections and nothing is called under it.
//
// # Who keeps whom alive
//
// A Server keeps its connections, and Close waits for their requests. A handler
// may pass a connection on, to be answered by another process.
//
// # What a crash leaves behind
//
// Its files. Device numbers are used again, so State carries the processes'
// start times, and clients believe no state whose processes are gone. Make
// removes what is stale.
package control
