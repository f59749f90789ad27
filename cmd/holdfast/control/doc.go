// Package control is how the commands find and talk to the process behind a
// mount, without touching the mount point: that must work while it hangs.
//
// A mount is found in /proc/self/mountinfo by the text of its path. The minor
// number of its device, which is also the number of its FUSE connection, names
// two files in /run/holdfast (mode 0700):
//
//	N.sock   the process listens here: one JSON request line, one JSON reply line
//	N.json   who it is (State): process id, source, mount point, log
//	ending-PID.json   the same, from the unmount to the end of the process
//
// # What it owns
//
// Its files: made by Listen, removed by Server.Close. The file `lock` in the directory orders this between
// processes.
//
// # Lock order
//
// Server.mu guards its set of open connections and nothing is called under it.
//
// # Who keeps whom alive
//
// A Server keeps its connections, and Close waits for their requests.
//
// # What a crash leaves behind
//
// Its files. Device numbers are used again, so State carries the process's
// start time, and clients believe no state whose process is gone. Listen
// removes what is stale.
package control
