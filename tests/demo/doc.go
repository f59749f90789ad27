// Demo is what `make demo` runs: it mounts a volume in ./demo, lets verifying
// programs work in it, switches the graph 100 times under them and kills the
// worker 50 times meanwhile, and prints what came of it. It leaves nothing mounted; the exit code tells.
//
// It owns ./demo and the processes it starts. Everything runs in one goroutine
// but the workers, which are processes. After a crash of the demo its mount
// stays; the next run unmounts it first.
package main
