// Package readdirahead is performance/readdir-ahead: it lists a directory ahead of
// whoever reads it, from the moment it is opened, so that one of the kernel's small
// requests does not cost a round trip.
//
// # What it owns
//
// A stream for each open directory: pieces of the listing, in the order of the
// child, beginning where the reader is. Offsets are the child's own, so a request
// is answered from the stream if its offset is where a piece begins or continues;
// any other (a seek, a rewind) drops the stream, goes to the child, and the stream
// begins anew after it. One goroutine per stream asks the child for the next
// pieces, with READDIRP, until rda-high-wmark is reached, and again when less than
// rda-low-wmark is left. All streams together keep at most rda-cache-limit.
//
// # When a piece is used
//
// Names: while nothing was made, removed or renamed in the directory since the
// stream began, by this client or, as far as the brick tells, by another; and in
// the same phase of a serving graph. A reader that changes the directory as it
// reads (rm -r) gets each piece from the child, as without this translator: reading
// ahead begins again after two requests with no change in between.
//
// Attributes: while no fop that may change them started or ended since the piece
// was asked for (a clock of changes ticks for each, in cells that files share),
// and for maxAge. Otherwise the entry is given without them.
//
// An error of the child is never kept: the stream ends before it, and who gets
// there asks the child.
//
// # Locks
//
//	stream.mu
//	└─ translator.mu
//
// Neither is held across a call.
//
// # Who keeps whom alive
//
//	FD ──> stream ──> pieces ──> Inodes
//	goroutine ──> stream ──> FD
//
// An FD that is released while its goroutine waits for the child is released at the
// child when that has answered. Stop waits for all of them.
//
// # What a crash leaves behind
//
// Nothing.
package readdirahead
