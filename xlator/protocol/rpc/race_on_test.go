//go:build race

package rpc

// killCount is smaller where a process takes long to start.
const killCount = 60
