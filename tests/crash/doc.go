// Package crash kills what serves a mount while applications work on it: the
// worker, the keeper, both; at random moments, at every system call of an
// operation, and over and over. The applications must not notice.
//
// Every mount is of the program as users have it (mnt.Plain): the race detector
// and the invariant checks keep request memory on the heap, where a kill loses
// it.
//
// # What it owns
//
// Mounts and load processes, through package mnt, and what it kills: children of
// keepers that it started itself, each by a pidfd.
//
// # What a crash leaves behind
//
// What package mnt says: its guard takes the mount away.
package crash
