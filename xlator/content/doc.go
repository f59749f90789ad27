// Package content is what translators that keep the content of files have in
// common: [Changes] says whether an answer may be kept, [Watch] sees to it that it
// knows of every change that passes, [Store] keeps pieces of files within a bound,
// and [Base] is all of that as a translator that only a Readv is missing from.
//
// # When an answer is kept
//
// A clock of changes ticks whenever a fop that may change a file's content starts
// and whenever it ends. Before the child is asked, the clock and the phase of the
// graph are read; the answer is kept only if no change of that file was running or
// has ticked since, the phase is the same view, and it is not transparent. So an
// answer that was on its way while something changed is given to who asked, and
// forgotten. Ticks are remembered in cells that files share: a file of which
// nothing is kept costs nothing.
//
// Of changes by other clients the Store learns by a file's stamp: size, mtime and
// ctime. A piece is kept only under a stamp that was there before the piece was
// asked for, and used only while the stamp was seen again recently. Attributes that
// pass in any reply are compared with it; where they differ, everything of the file
// is dropped. So the same stamp before and after says that nothing was changed in
// between, as far as the brick's clock tells changes apart.
//
// What a cache asks for on its own account goes out under a call without a number
// ([Own]): what a request sends under its own number must be the same when another
// process carries it out again, with an empty cache.
//
// # Lock order
//
// Store.mu only, never across a call. Changes takes none.
//
// # Who keeps whom alive
//
//	translator ── Base ── Store ──> records by gfid ──> pieces
//	                └── Changes
//
// Nothing here holds an Inode: pieces outlive it, and are found again by gfid.
//
// # What a crash leaves behind
//
// Nothing.
package content
