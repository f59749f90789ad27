// Package openbehind is performance/open-behind: it answers an open for reading
// before the brick has it, and opens when something needs the open file.
//
// # What it owns
//
// For each file that was opened early, until it is released: who opened it, and a
// hint.Ref to the FD that the child gives when it is opened late. The FD that the
// kernel's side has is this translator's own and stays the same; requests with it
// go to the child with the child's FD. FDs that were opened by the child at once
// pass unchanged.
//
// # Which opens are early
//
// Those by an application, of a regular file, for reading, without flags that the
// brick could object to, in a graph that serves, of a file that has nothing open
// here and has lost no name that this graph knows of. Whatever else is opened, or
// opened again (a switch, a restart), goes to the child at once.
//
// # When the file is opened late
//
// Before the first request with its FD other than close; before a change of mode,
// owner or extended attributes of the file by us, so that the open is judged as it
// was when it was answered; before an unlink or a rename that may take the file's
// name away: while one of those is under way no open is early, and the file that it
// concerns is looked for first. And before the graph is drained: the next graph
// then finds an open file, also of one that is unlinked in between. It is opened as
// who opened it. An error goes to whoever needed the file, and the next one tries
// again after hint's pause.
//
// # Locks
//
//	translator.mu
//	(the lock of a hint.Ref is taken without it)
//
// Not held across a call. The phase is read under it when an open is answered.
//
// # Who keeps whom alive
//
//	translator.late ──> late ──> the child's FD, Inode
//	FD ──> late
//
// Attempts to open run to their end in goroutines that Stop waits for; what one
// opens after the FD was released is released at once.
//
// # What a crash leaves behind
//
// Nothing on the brick. The mount opens what was open again when it is used, as
// after any crash.
package openbehind
