// Package quickread is performance/quick-read: it has small files brought along
// with their lookup, and answers reads from that.
//
// # What it owns
//
// The content of files up to max-file-size, by gfid, up to cache-size in all, in a
// content.Store; it stays when nobody has the file open. Which may be kept and
// used, and what drops it, is said in package content.
//
// # Where content comes from
//
// A LOOKUP of a file of which nothing is kept asks for glusterfs.content, and the
// brick answers with all of the file if it is not too large. A lookup of a name
// that led to a file of which content is kept does not ask again: its attributes
// say whether the content is still right. A read that happens to bring a whole
// small file is kept as well; children that know nothing of glusterfs.content are
// no less right.
//
// # When it is used
//
// Until cache-timeout has passed since the file's size and mtime (with
// ctime-invalidation, ctime too) were last seen. Later a read goes to the child,
// and the attributes that come with it count.
//
// # Locks
//
// That of the store, never across a call.
//
// # Who keeps whom alive
//
// As in package content.
//
// # What a crash leaves behind
//
// Nothing.
package quickread
