// Package keeper is the small process that makes a mount outlive what serves
// it. The keeper holds everything that must not be lost (the kernel's end of the
// mount, the state memory, a brick's lock, the control socket), starts the worker that does
// the work, and when the worker dies it starts another one with the same
// descriptors. It knows nothing of files, graphs or requests.
//
//	keeper ──── a SOCK_SEQPACKET pair: JSON and SCM_RIGHTS (protocol.go) ──── worker
//
// A reading order of ten minutes: protocol.go (what the two say to each other),
// store.go (descriptors by name), step.go (one mount as a pure function: what
// happens when), keeper.go (the loop around it), attend.go (what workers say, and
// how they end), process.go (a worker as a process), link.go (the worker's end),
// tend.go (what must not wait for the next one), notify.go (what must not keep a
// worker from dying).
// adopt.go is how a mount gets another keeper. service.go and held.go are a
// keeper of many mounts whose workers somebody else starts, join.go their end of
// it; systemd.go has a service manager keep its descriptors.
//
// # A worker's life
//
//	worker          keeper
//	hello ─────────>          which program, which layouts of the state memory
//	      <───────── start    what is mounted
//	prepared ──────>          all that can be done beside another worker is done
//	      <───────── go       the descriptors; no other worker lives
//	mount ─────────>          (of a new mount: the graph is up)
//	      <───────── mounted  the kernel's end
//	ready ─────────>          what a dead worker left has been dealt with
//	keep, drop ────>          descriptors for the next worker
//	notify ────────>          what the kernel is to be told (notify.go)
//	      <───────── notified
//	      <───────── drain    (upgrade: finish what you have, answer nothing new)
//	drained ───────>
//	end ───────────>          the mount is gone, or why it cannot be served
//
// Only one worker has the descriptors of a mount at a time. It is gone when its
// end of the socket is closed, which the kernel does when its last thread has
// left read(2) and write(2), and, if it is a child, when it has been reaped.
//
// From then until the next one's go, what workers keep may have to be looked
// after: a connection on which nobody reads is given up by the other side. What is
// to be done is not known here, but by whom Config.Tend is from. It is called also
// while a worker gets ready, while the next one has to wait, and while everything is
// answered with EIO; its last call has returned when the descriptors are sent. A
// service calls it only if it knows by a pidfd that the worker has ended, since a
// lost connection alone may leave one that lives and comes again.
//
// # What it owns, and locks
//
// A Store owns its descriptors. The Keeper has no lock: one goroutine has it all,
// the others send it events.
//
//	Service.mu            which mounts there are
//	  held.mu             one of them
//	    Store.mu          held while descriptors are sent: none is closed meanwhile
//	      Conn.sendMu     one sender at a time
//	Link.wantMu           what this process has asked for
//	  Link.askMu          one question to the keeper at a time
//	    Link.mu           which keeper; a leaf
//	    Store.mu, Conn.sendMu
//
// # Who keeps whom alive
//
// The keeper's Store keeps the mount alive, and so does each worker's. Either
// may die: a worker that has lost its keeper serves on, and a new keeper gets
// the descriptors from it (adopt.go).
//
// # What a crash leaves behind
//
// Of the worker: whatever the state memory says; the next worker goes on from
// there. Of the keeper: a worker without a keeper. Of both: a mount that
// answers ENOTCONN until it is unmounted.
package keeper
