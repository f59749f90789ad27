// Package kill kills the workers of a keeper, and nobody else: a process is held
// by a pidfd first, and its parent looked at then.
//
// It owns nothing and takes no lock.
package kill
