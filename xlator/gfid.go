package xlator

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// GFID is the identity of an inode in a volume: 16 bytes, the same on every
// brick, in every graph and for ever (the `trusted.gfid` attribute).
type GFID [16]byte

// RootGFID names the root of every volume.
var RootGFID = GFID{15: 1}

// NewGFID returns a random (version 4) identity, but for its first two bytes:
// they are the same for a minute. A brick files handles under those two bytes,
// and so what is made together lies in one folder instead of each in a new one
// (which is 40 % of the cost of a create on ext4).
func NewGFID() GFID {
	g := GFID(uuid.New())
	binary.BigEndian.PutUint16(g[:], uint16(time.Now().Unix()/60))
	return g
}

// ParseGFID reads the canonical 36-character text.
func ParseGFID(s string) (GFID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return GFID{}, fmt.Errorf("%q is not a gfid", s)
	}
	return GFID(u), nil
}

// IsZero reports whether g names nothing.
func (g GFID) IsZero() bool { return g == GFID{} }

// String is the canonical lower-case text with dashes.
func (g GFID) String() string { return uuid.UUID(g).String() }

// MarshalText lets a GFID be a JSON string or map key.
func (g GFID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText undoes MarshalText.
func (g *GFID) UnmarshalText(b []byte) (err error) {
	*g, err = ParseGFID(string(b))
	return err
}

// Ino is the st_ino shown to applications: the last eight bytes, as GlusterFS
// does it; 1 for the root. It never changes.
func (g GFID) Ino() uint64 {
	if i := binary.BigEndian.Uint64(g[8:]); i != 0 {
		return i
	}
	return binary.BigEndian.Uint64(g[:8]) | 1
}
