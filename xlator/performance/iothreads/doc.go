// Package iothreads is performance/io-threads. In GlusterFS it hands fops to
// threads, by priority.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package iothreads
