package main

import (
	"os"
	"os/exec"
)

// resolve shows what entering a graph, resolving and leaving cost: the Go
// benchmarks beside the code.
func (b *bench) resolve() error {
	newTable("resolve (HIT), enter and leave: nanoseconds and allocations").end()
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "Hit|EnterLeave|UseFD|UseNode", "-benchmem", "./xlator/hint", "./graph", "./fdtable")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
