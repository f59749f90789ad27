// Package iocache is performance/io-cache: it answers reads from pages that were
// read before.
//
// # What it owns
//
// Pages of 128 KiB of files, by gfid, up to cache-size in all, in a content.Store;
// a file's pages stay when nobody has it open. Which may be kept and used, and what
// drops them, is said in package content.
//
// # When a page is used
//
// Until cache-timeout has passed since the file's size, mtime and ctime were last
// looked at. Later, an FSTAT comes first, and all pages of the file are dropped if
// one of them has changed. A read that finds pages missing asks for those between
// the first and the last that is missing, whole.
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
package iocache
