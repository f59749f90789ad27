// Package iocache is performance/io-cache. In GlusterFS it keeps pages that
// were read.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package iocache
