// Package state is the state memory of a mount: a memory file that outlives the
// process which serves the mount, held by the keeper and mapped by each worker
// in turn. It holds what the kernel believes of us: requests that have been read
// and not answered, nodes, base fds, locks, write errors.
//
// # Layout
//
// Version 1. All numbers are in the machine's byte order and naturally aligned.
// The file is sparse, has its full length from the start and never moves or
// shrinks; only pages that were written exist.
//
//	offset      what
//	0           header                                (header.go)
//	64 KiB      config, two copies of up to 1 MiB      (config.go)
//	4 MiB       chunks of the arena, 16 bytes each     (arena.go)
//	16 MiB      lock records, 64 bytes each            (locks.go)
//	1 GiB       base fd records, 64 bytes each         (fds.go)
//	2 GiB       node records, 64 bytes each            (nodes.go)
//	8 GiB       arena: request slots                   (arena.go, entry.go)
//	64 GiB      end
//
// The tables in the files named give each record byte by byte.
//
// # What a kill may leave
//
// A store of eight aligned bytes is whole or not there, and stores happen in
// the order of the program. So a record is written first and then published by
// one store of its head (number, check sum, state), and taken away by one store
// of its head; a value that changes alone (a lookup count, an error cursor) is one
// word; a value that is larger (the config, an intent) is written beside the old
// one and switched to by one store. SIGKILL anywhere leaves the state before or
// after.
//
// # What it owns, and locks
//
// A Memory owns its mapping. Nothing synchronises through it: every record
// belongs to an object of the heap, whose lock guards it (fdtable's nodes, base
// fds and slabs, the session's slots). The free lists of lock records and of the
// arena are the heap's, each under a lock of its own, which is a leaf.
//
// Two processes never use it at once: the keeper writes the header only while no
// worker lives, but for the counters that doc of Header names.
//
// # Plain memory
//
// Without a keeper, and in builds with the race detector or the `invariants`
// tag, the same structures come from the heap or from anonymous pages, and
// Durable is false: nothing is recorded but what this process reads itself.
package state
