// Package posix is what Linux promises an application about files, as named
// cases: each is a function over an empty directory, so that any file system
// can be put through them. RunAll runs them all; on ext4 all must pass
// (TestNative), and a mount must not differ.
//
// What another user or process may do is asked from a second process, which
// makes single system calls on request: package users call Child first thing
// in their TestMain.
//
// Where ext4 offers more than other file systems may (COLLAPSE_RANGE, say), a
// case takes "not supported" for an answer, and nothing else. Where a mount
// option forbids something (nodev, noexec, nosuid), the case wants the error.
//
// # What it owns
//
// A folder per case, removed with the test's directory, and the second
// processes, which end with their case.
//
// # Lock order
//
// None.
//
// # Who keeps whom alive
//
// A case keeps its second processes; they end when their standard input does,
// so they do not outlive a killed test.
//
// # What a crash leaves behind
//
// The folder given to RunAll.
package posix
