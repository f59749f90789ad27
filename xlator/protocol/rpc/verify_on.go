//go:build invariants

package rpc

import "fmt"

// verify panics when an invariant of the Conn does not hold. mu is held.
func (c *Conn) verify() {
	switch {
	case c.written > c.pub:
		panic(fmt.Sprintf("rpc: %d bytes sent of %d", c.written, c.pub))
	case c.origin > c.done || c.done > c.parsed || c.parsed > c.consumed || c.consumed > c.done+c.size:
		panic(fmt.Sprintf("rpc: origin %d, done %d, parsed %d, consumed %d, ring of %d", c.origin, c.done, c.parsed, c.consumed, c.size))
	case c.outstanding != len(c.byXid) || c.expected < 0 || c.blocking < 0 || c.expected > int(c.size):
		panic(fmt.Sprintf("rpc: %d outstanding, %d xids, %d bytes expected, %d blocking", c.outstanding, len(c.byXid), c.expected, c.blocking))
	case len(c.free) > len(c.calls):
		panic(fmt.Sprintf("rpc: %d of %d slots are free", len(c.free), len(c.calls)))
	}
}
