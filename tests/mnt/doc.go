// Package mnt is what whole-program tests stand on: it builds the program,
// mounts with it, asks it and unmounts, and proves that nothing stays behind.
//
//	m := mnt.Mount(t, src)                       // holdfast mount src m.Dir
//	w := mnt.Load(t, workload.Config{Kind: "writer", Dir: m.Dir})
//	m.Set("performance.write-behind", "off")     // holdfast set
//	if m.Status().Switch.Count != 1 { ... }
//	mnt.Stop(t, w)
//
// The mount is taken down when the test ends, and the log is shown if it
// failed. All is done with the command line that a user has, and every command
// has a time-out.
//
// # What it owns
//
// One temporary folder per mount (mount point, log), the mounted process, and
// a guard: a shell that takes the mount away if the test process dies. The
// programs that are built lie in bin/test at the top of the tree and stay
// there, so that the next test process finds them.
//
// # Lock order
//
// None: an M may be used from several goroutines as far as its methods run
// commands; Umount is for one.
//
// # Who keeps whom alive
//
// The test keeps M. Cleanups run in the order last made, first ended: workers
// started after a mount end before it.
//
// # What a crash leaves behind
//
// Nothing that is mounted: the guard sees the end of the test process, aborts
// the FUSE connection, unmounts and kills the mounted process. Source folders
// that the test made stay.
package mnt
