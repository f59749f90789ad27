// Package nlcache is performance/nl-cache. In GlusterFS it remembers names that
// do not exist.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package nlcache
