// Holdfast is a FUSE client whose graph of translators can be replaced while
// applications work. Called as mount.holdfast it is mount(8)'s helper.
package main

import (
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/command"
	"github.com/holdfast/holdfast/xlator/all"
)

func main() { os.Exit(command.Main(os.Args, all.Find)) }
