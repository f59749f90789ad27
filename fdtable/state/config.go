package state

import "fmt"

// maxConfig is the largest config in bytes.
const maxConfig = 1 << 20

// The word header.config says which copy counts and how long it is:
//
//	bit 63      1: the second copy
//	bits 0-31   length in bytes
//
// The copies begin at 64 KiB and 64 KiB + 1 MiB.

// SetConfig records bytes for the next process (what is served, the graph in
// service). The caller serialises.
func (m *Memory) SetConfig(b []byte) error {
	if len(b) > maxConfig {
		return fmt.Errorf("a config of %d bytes is too long to be kept (%d)", len(b), maxConfig)
	}
	next := ^m.header.config & (1 << 63)
	m.copyIn(configCopy(next), b)
	store(&m.header.config, next|uint64(len(b)))
	return nil
}

// Config returns a copy of what SetConfig recorded last.
func (m *Memory) Config() []byte {
	w := load(&m.header.config)
	n := int(min(w&0xffffffff, maxConfig))
	b := make([]byte, 0, n)
	for at := configCopy(w); n > 0; {
		k := min(n, heapPage)
		b = append(b, m.bytes(at, k)...)
		at, n = at+int64(k), n-k
	}
	return b
}

func (m *Memory) copyIn(at int64, b []byte) {
	for len(b) > 0 {
		k := min(len(b), heapPage)
		copy(m.bytes(at, k), b)
		at, b = at+int64(k), b[k:]
	}
}

func configCopy(word uint64) int64 { return configAt + int64(word>>63)*maxConfig }
