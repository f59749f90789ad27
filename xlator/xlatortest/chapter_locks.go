package xlatortest

import (
	"fmt"
	"math"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// lockRequests takes, meets and gives up locks. Without features/locks below, each
// request has to be answered as by the leaf.
func lockRequests(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	other := s.openFile(fd.Inode(), unix.O_RDWR)
	lk := func(fd *xlator.FD, cmd xlator.LkCmd, typ int16, owner uint64, start, end int64, flock bool) bool {
		what := fmt.Sprintf("lk %d type %d owner %d %d-%d flock %v", cmd, typ, owner, start, end, flock)
		call := s.call()
		call.LockOwner = owner
		rep, err := s.top.Lk(call, &xlator.LkReq{FD: fd, Cmd: cmd, Lock: xlator.Lock{Type: typ, Start: start, End: end, Owner: owner, PID: uint32(owner), Flock: flock}})
		if err != nil {
			s.say(err, nil, what)
			return false
		}
		must := "granted"
		if cmd == xlator.LkGet {
			must = fmt.Sprint(rep.Lock)
		}
		s.say(nil, nil, what, must)
		return true
	}
	if !lk(fd, xlator.LkSet, unix.F_WRLCK, 1, 0, 99, false) {
		return
	}
	lk(other, xlator.LkSet, unix.F_WRLCK, 2, 50, 149, false)
	lk(other, xlator.LkGet, unix.F_RDLCK, 2, 50, 149, false)
	lk(other, xlator.LkGet, unix.F_RDLCK, 2, 100, 149, false)
	lk(other, xlator.LkSet, unix.F_RDLCK, 2, 100, math.MaxInt64, false)
	lk(fd, xlator.LkSet, unix.F_RDLCK, 1, 50, 199, false)
	lk(fd, xlator.LkSet, unix.F_UNLCK, 1, 20, 29, false)
	lk(other, xlator.LkWait, unix.F_WRLCK, 2, 20, 29, false)
	lk(fd, xlator.LkSet, unix.F_WRLCK, 1, 0, math.MaxInt64, true)
	lk(other, xlator.LkSet, unix.F_WRLCK, 2, 0, math.MaxInt64, true)

	// One that waits gets it when the other lets go.
	got := make(chan error, 1)
	go func() {
		call := s.call()
		call.LockOwner = 3
		_, err := s.top.Lk(call, &xlator.LkReq{FD: other, Cmd: xlator.LkWait, Lock: xlator.Lock{Type: unix.F_WRLCK, Start: 0, End: 9, Owner: 3, PID: 3}})
		got <- err
	}()
	lk(fd, xlator.LkSet, unix.F_UNLCK, 1, 0, math.MaxInt64, false)
	s.say(<-got, nil, "wait for a lock", "granted")
	lk(fd, xlator.LkSet, unix.F_WRLCK, 1, 5, 5, false)

	dir := s.opendir(s.root)
	for n, typ := range []int16{unix.F_WRLCK, unix.F_RDLCK, unix.F_UNLCK} {
		for owner := range uint64(2) {
			_, err := s.top.Inodelk(s.call(), &xlator.InodelkReq{Inode: fd.Inode(), Domain: "dom", Cmd: xlator.LkSet,
				Lock: xlator.Lock{Type: typ, End: math.MaxInt64, Owner: owner + 1}})
			s.say(err, nil, fmt.Sprint("inodelk ", n, owner))
			_, err = s.top.Finodelk(s.call(), &xlator.FinodelkReq{FD: fd, Domain: "dom2", Cmd: xlator.LkSet,
				Lock: xlator.Lock{Type: typ, End: math.MaxInt64, Owner: owner + 1}})
			s.say(err, nil, fmt.Sprint("finodelk ", n, owner))
			_, err = s.top.Entrylk(s.call(), &xlator.EntrylkReq{Inode: s.root, Domain: "dom", Name: "x", Cmd: xlator.LkSet, Type: typ, Owner: owner + 1})
			s.say(err, nil, fmt.Sprint("entrylk ", n, owner))
			_, err = s.top.Fentrylk(s.call(), &xlator.FentrylkReq{FD: dir, Domain: "dom2", Cmd: xlator.LkSet, Type: typ, Owner: owner + 1})
			s.say(err, nil, fmt.Sprint("fentrylk ", n, owner))
		}
	}
	s.release(other)
	for owner := range uint64(3) {
		lk(fd, xlator.LkSet, unix.F_UNLCK, owner+1, 0, math.MaxInt64, false)
		lk(fd, xlator.LkSet, unix.F_UNLCK, owner+1, 0, math.MaxInt64, true)
	}
}
