// Package switchtest holds the tests of a live switch of the graph on real
// mounts: what an application has open, locked, mapped or half read is there
// after it, and nothing pauses for the number of open files. The tests own
// their mounts and processes and leave nothing behind.
package switchtest
