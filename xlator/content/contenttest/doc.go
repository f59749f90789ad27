// Package contenttest puts translators that keep the content of files through
// their paces: a [World] has one above a [xlatortest.Probe] above a brick, [Stale] changes a
// file in every way at every moment of a read, and [Model] compares a long random
// history with a plain slice of bytes.
//
// It owns what a test makes with it, and gives it back when the test ends. The
// probe's lock is a leaf. The World holds its translators. What a crash leaves
// behind is the test's temporary folder.
package contenttest
