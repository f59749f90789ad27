// Package command is the command line: one file per command. Commands print
// facts on standard output, as text or with --json, and an error as one line on
// standard error.
//
// Exit codes are those of mount(8) helpers: 0 done, 1 wrong usage, 32 the mount
// failed; commands other than mount end with 1 on any error.
//
// It holds no state and no locks. What a crash leaves behind: `holdfast mount`
// in the background is a process that package daemon describes; the command
// that started it ends it again when it does not answer.
package command
