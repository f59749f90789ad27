// Package utime is features/utime. In GlusterFS it stamps the time of a change on
// the client, so that all bricks store the same. Here protocol/client stamps, which
// knows what a fop changes; this says whether reading is to be stamped as well
// (xlator.AccessStamper).
//
// It owns nothing, locks nothing, keeps nothing alive but its child, and leaves
// nothing behind in a crash.
package utime
