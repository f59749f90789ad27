// Package readdirahead is performance/readdir-ahead. In GlusterFS it reads
// ahead of whoever lists a directory.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package readdirahead
