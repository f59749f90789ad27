// Package workload is applications for a file system under test: workers that
// do what programs do, know what must come back, and say so when it does not.
// A test runs each in a process of its own (command hfload, started with
// Launch), changes the world under it, and asks in the end for errors.
//
// Every call is made raw, without repeating what was interrupted: a regular
// file's read that returns EINTR is a finding, and a short one too.
//
// A worker is deterministic by its seed as far as its own order goes, keeps to
// a few tens of megabytes, works in a folder of its own and removes it.
//
// # What it owns
//
// The folder Config.Folder, and its partner processes (some kinds need two:
// two that lock, one that lists and one that changes the directory).
//
// # Lock order
//
// worker.mu guards the first error and nothing is called under it; the mutexes
// of single kinds are taken before it.
//
// # Who keeps whom alive
//
// Run keeps its goroutines and its partner and waits for both. A partner stops
// when its standard input is closed, so it does not outlive a killed parent.
//
// # What a crash leaves behind
//
// The folder. The next worker with the same folder removes it first.
package workload
