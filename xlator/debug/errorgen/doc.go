// Package errorgen is debug/error-gen: it makes fops fail that would not.
//
// A fop that is to fail never reaches the child; the caller gets the chosen
// errno. Which ones fail: those that `enable` and `gfid` pick, after the first
// `after` of them, at most `count` of them, `failure` percent of the rest.
// Without random-failure the share is exact and evenly spread; with it, each
// call is decided by chance. Release is never refused: it ends things.
//
// # What it owns
//
// Its settings and their counters, replaced as one when they change, so that a
// change starts counting anew. No locks; they are atomic.
//
// # Who keeps whom alive, and what a crash leaves behind
//
// It holds its child and nothing else; nothing is left behind.
package errorgen
