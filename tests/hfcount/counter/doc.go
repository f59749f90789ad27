// Package counter is tests/counter, a translator for tests: it lets applications
// count on a brick. No file system call becomes an XATTROP, which adds to a number on
// the brick and cannot be done twice without being seen.
//
//	setxattr "user.counter.next" = "17"         add 1; the sum must be 17
//	setxattr "user.counter.next-locked" = "17"  the same between a lock and an unlock
//	                                            of the file in a domain of its own (INODELK)
//	getxattr "trusted.counter"                  the sum, 8 bytes, big-endian
//
// A sum that is not the expected one is EILSEQ. The second form is three requests of
// one call. Who holds the lock is the call, so a lock taken twice leaves one behind
// (EBUSY for the next call), and an unlock done twice finds none (EINVAL).
//
// With the option unrecorded, additions or locks are sent as the client's own work,
// which nobody remembers over the death of the process: for tests that want to see
// what is seen then.
//
// It owns nothing, has no locks, holds its child, and leaves nothing behind but what
// was counted.
package counter
