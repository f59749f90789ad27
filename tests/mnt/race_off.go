//go:build !race

package mnt

const raceEnabled = false
