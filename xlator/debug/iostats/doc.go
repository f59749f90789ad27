// Package iostats is debug/io-stats: it counts what passes through it.
//
// For each kind of fop it keeps how many there were, how many failed, how many
// bytes were read or written, and a histogram of how long they took. Counting
// never stops and costs no allocation and no lock: each fop adds to one of
// several copies of the counters, chosen at random, so that processors seldom
// meet on a cache line.
//
// # What it owns
//
// The counters belong to the pool, under "io-stats:" and the volume's name: an
// io-stats of the same name in the next graph goes on with the same totals. A
// mount that switches to a graph without it and back begins anew.
//
// # Locks
//
// None, beside the pool's in Start and Stop.
//
// # Who keeps whom alive
//
// The translator holds the counters from Start to Stop.
//
// # What a crash leaves behind
//
// Nothing: totals begin at zero in a new process.
package iostats
