//go:build race

package mnt

const raceEnabled = true
