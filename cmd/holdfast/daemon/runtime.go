package daemon

import (
	"os"
	"runtime"
)

// heapRoom is how much garbage the process may make beside what doubles its
// heap before it is collected. A collection works for tens of milliseconds where
// thousands of files are open, and where there are few processors requests wait
// for it meanwhile; with a small heap a switch of the graph would start one
// every time.
const heapRoom = 16 << 20

// room is memory that nobody touches, so that it takes addresses and no pages.
// The garbage collector counts it with what is in use, and so comes later.
type room []byte

func newRoom() room { return make(room, heapRoom) }

// addProcessor gives the Go scheduler one processor more than there are, unless
// somebody has said how many. As many readers as there are processors wait for
// requests, and each has one of the scheduler's meanwhile: with none left over
// the scheduler takes one away from a reader every few microseconds, wakes a
// thread for it, finds nothing to run, and gives it back.
func addProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
