//go:build race

package mnt

// RaceEnabled says that this test and the programs it builds have the race
// detector in them.
const RaceEnabled = true
