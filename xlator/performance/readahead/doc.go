// Package readahead is performance/read-ahead: it asks for the next pages of a file
// before whoever reads it in sequence does.
//
// # What it owns
//
// For each FD that is open for reading: how far it was read in sequence, and the
// pages that were asked for and not yet read. A page is asked for in a goroutine of
// its own; Release waits for those of its FD. All FDs together have at most 64 MiB
// of pages (or the window of one, if that is more): those of the FD that was not
// read for longest go first.
//
// # What is read ahead
//
// A read counts as the next in sequence if it begins or ends where the last one
// ended, or not farther from there than a page or its own size: the kernel sends
// reads at the same time, and they overtake each other. The window is as many pages as were read in sequence, up to page-count; it
// begins where the read ends. Any other read drops the pages, and the window begins
// anew. Nothing is read ahead behind a page that was short.
//
// # When a page is used
//
// Once it is there, if by package content's clock of changes it still holds: no
// change of the file has begun since it was asked for, the phase is the same and
// serves, no reply has shown that the file is another one. A page that nobody
// wanted for a second is dropped, and its reader begins anew: who reads slowly
// needs no read-ahead. A read that begins in pages that are there and ends beyond
// them asks the child for the rest only.
//
// # Locks
//
// translator.mu, never across a call; under it only what package content takes.
//
// # Who keeps whom alive
//
//	FD ──> reader ──> pages <── their goroutines (which hold the FD)
//
// # What a crash leaves behind
//
// Nothing.
package readahead
