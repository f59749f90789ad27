// Package utime is features/utime. In GlusterFS it stamps the time of a change
// on the client, so that all bricks store the same.
//
// For now it forwards every fop to its child, checks its options and ignores
// them. It owns nothing, locks nothing, keeps nothing alive but its child, and
// leaves nothing behind in a crash.
package utime
