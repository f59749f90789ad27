// Package delaygen is debug/delay-gen: it holds fops back, for a time or behind
// a gate.
//
// A share of the fops (delay-percentage, evenly spread) waits delay-duration
// before the child is asked, or after it has answered (`where`). With `gate`,
// fops that match wait for as long as a file of that path exists; delays by
// time are then off unless delay-percentage is given too. What waits is not
// interrupted by signals, like a request that a slow brick has; it ends when the
// graph does, with ECANCELED where the child has not been asked, and with the
// child's answer where it has.
//
// # What it owns
//
// The settings in force, and one watcher of the gate's folder with one goroutine,
// from Start to Stop; Reconfigure replaces both.
//
// # Lock order
//
//	Reconfigure's mutex (translator.mu)
//	└─ gate.mu
//
// Neither is held across a call of a child or a wait.
//
// # Who keeps whom alive, and what a crash leaves behind
//
// A waiting fop keeps the gate that it waits at; a gate that was replaced or
// stopped opens. Nothing is left behind; the gate's file belongs to whoever made
// it.
package delaygen
