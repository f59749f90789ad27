// Package quickread is performance/quick-read. In GlusterFS it brings small
// files along with their lookup.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package quickread
