//go:build invariants

package rpc

// at is where a test may end the process.
func (c *Conn) at(p point) {
	if c.opts.at != nil {
		c.opts.at(p)
	}
}
