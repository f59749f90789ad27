//go:build !race

package rpc

// killCount is how often the worker is killed.
const killCount = 200
