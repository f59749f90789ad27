// Package readahead is performance/read-ahead. In GlusterFS it reads ahead of a
// sequential reader.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package readahead
