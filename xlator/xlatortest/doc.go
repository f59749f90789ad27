// Package xlatortest puts translators through their paces: a World builds a
// small graph by hand, around the real leaf, and Conform runs the same
// operations with and without the translator under test and compares.
//
// It owns what a test makes with it, and gives it back when the test ends. A
// World is used by one goroutine at a time; the translators in it have their own
// locks. It holds its translators, they hold each other as in any graph. What a
// crash leaves behind is the test's temporary folder.
package xlatortest
