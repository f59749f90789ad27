// Package mdcache is performance/md-cache: it answers for attributes, and for
// extended attributes that it was told to keep, what the child said a moment ago.
//
// # What it owns
//
// An entry in each Inode that it has seen: a copy of the attributes and of some
// extended attributes, each with the time and the phase of the graph when they
// were asked for.
//
// # When an answer is kept
//
// A clock of changes ticks whenever a fop that may change an inode starts and
// whenever it ends. Before the child is asked, the clock and the phase are read;
// the answer is kept only if no change of that inode was running or has ticked
// since, the phase is the same view, and it is not transparent. So an answer that
// was on its way while something changed is given to who asked, and forgotten.
// Ticks are remembered in cells that files share and that outlive the Inode: an
// answer may come for a file that was closed and forgotten meanwhile.
//
// What another client changed, and a brick that went away, count as such a change
// when an event tells of them.
//
// Attributes that a change itself returns are kept if it was the only one, and of
// names that were made. Fops that name their object by parent and name end with a
// tick for what they say they changed, and for everything if they failed, since
// then it is not known what they did.
//
// # When it is used
//
// Until md-cache-timeout has passed since it was asked for, in the same view of
// the phase only: what was learned before a switch never answers after it.
//
// # Locks
//
// entry.mu only, never across a call. Who finds kept attributes takes none.
//
// # Who keeps whom alive
//
//	Inode ──> entry
//
// # What a crash leaves behind
//
// Nothing.
package mdcache
