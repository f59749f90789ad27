package client

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// Tend is for the keeper, while no process uses what it keeps: it receives what
// the bricks have sent to where the next process looks for it, and returns the
// number of bytes. A brick gives up who does not read (server.tcp-user-timeout).
//
// names are all that the keeper has been given under [xlator.Descriptors], kept is
// its Kept; what is no connection to a brick is not looked at. What is in doubt
// (another version's memory, one that can be cut short, a connection that does not
// belong to it) is left as it is, and an error: the next process decides.
func Tend(names []string, kept func(name string) (fd int, ok bool, err error)) (n int, err error) {
	for _, memory := range names {
		brick, ok := strings.CutSuffix(memory, keptMemory)
		if !ok || !strings.HasPrefix(brick, keptBrick) {
			continue
		}
		got, berr := tendBrick(memory, brick+keptSocket, kept)
		n += got
		if berr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", brick, berr))
		}
	}
	return n, err
}

func tendBrick(memory, socket string, kept func(name string) (fd int, ok bool, err error)) (int, error) {
	fd, ok, err := kept(socket)
	if !ok || err != nil {
		return 0, err // there is no connection
	}
	sock, err := socketOf(fd)
	if err != nil {
		return 0, err
	}
	defer sock.Close()
	mem, err := mapKept(memory, kept)
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	return rpc.Drain(mem, sock)
}

// mapKept maps the connection's part of a memory file that another process has
// made.
func mapKept(name string, kept func(name string) (fd int, ok bool, err error)) (rpc.Memory, error) {
	fd, ok, err := kept(name)
	if err == nil && !ok {
		err = syscall.ENOENT
	}
	if err != nil {
		return nil, fmt.Errorf("memory of a connection: %w", err)
	}
	f := os.NewFile(uintptr(fd), "holdfast-brick")
	defer f.Close()
	// One that somebody cuts short would be this process's end.
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err == nil && seals&unix.F_SEAL_SHRINK == 0 {
		err = syscall.EPERM
	}
	if err != nil {
		return nil, fmt.Errorf("memory of a connection: seals: %w", err)
	}
	return mapConnection(f)
}
