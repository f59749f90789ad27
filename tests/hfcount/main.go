// Command hfcount is holdfast with one translator more, tests/counter (package
// counter), so that additions on a brick can be asked for through a mount. It is
// for tests only, and all else that there is to say of it package command says.
package main

import (
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/command"
	"github.com/holdfast/holdfast/tests/hfcount/counter"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

func main() { os.Exit(command.Main(os.Args, find)) }

func find(name string) *xlator.Type {
	if t := counter.Type(); t.Name == name {
		return t
	}
	return all.Find(name)
}
