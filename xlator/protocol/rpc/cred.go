package rpc

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"time"
)

// Flavors of credentials.
const (
	authNone        = 0
	authGlusterFSv2 = 390039
	authGlusterFSv3 = 390040

	// maxCred is the longest body of a credential; a longer one is answered
	// with xid 0.
	maxCred = 400
)

// TimeFlags say which times of a file a call is to set to the credential's
// Time (the ctime feature of a brick).
type TimeFlags uint32

// Times of the object and of its parent directory.
const (
	Ctime       TimeFlags = 1
	Mtime       TimeFlags = 2
	Atime       TimeFlags = 4
	ParentCtime TimeFlags = 8
	ParentMtime TimeFlags = 16
	ParentAtime TimeFlags = 32
)

// Cred is who asks. The zero value is the client itself, as root.
type Cred struct {
	// V3 selects AUTH_GLUSTERFS_v3, which carries Flags and Time; to be used
	// from SETVOLUME on with a server that lists fop version 400.
	V3       bool
	PID      int32 // not negative: negative ones are privileged clients
	UID, GID uint32
	// Groups beyond what fits are left out, as every client does.
	Groups []uint32
	// LockOwner is at most 91 bytes.
	LockOwner []byte
	Flags     TimeFlags
	Time      time.Time
}

// groups is how many of the groups are sent: the limit counts the lock owner's
// bytes, by the rule of the C client, which both ends apply.
func (c *Cred) groups() []uint32 {
	limit := 95
	if c.V3 {
		limit = 91
	}
	return c.Groups[:min(len(c.Groups), limit-len(c.LockOwner))]
}

func (c *Cred) check() error {
	if len(c.LockOwner) > 91 {
		return fmt.Errorf("rpc: lock owner of %d bytes: %w (at most 91)", len(c.LockOwner), syscall.EINVAL)
	}
	return nil
}

// append adds flavor and body to b.
func (c *Cred) append(b []byte) []byte {
	be := binary.BigEndian
	flavor := uint32(authGlusterFSv2)
	if c.V3 {
		flavor = authGlusterFSv3
	}
	b = be.AppendUint32(b, flavor)
	b = be.AppendUint32(b, 0)
	start := len(b)
	b = be.AppendUint32(b, uint32(c.PID))
	b = be.AppendUint32(b, c.UID)
	b = be.AppendUint32(b, c.GID)
	if c.V3 {
		var sec, nsec int64
		if !c.Time.IsZero() {
			sec, nsec = c.Time.Unix(), int64(c.Time.Nanosecond())
		}
		b = be.AppendUint32(b, uint32(c.Flags))
		b = be.AppendUint32(b, uint32(nsec))
		b = be.AppendUint64(b, uint64(sec))
	}
	groups := c.groups()
	b = be.AppendUint32(b, uint32(len(groups)))
	for _, g := range groups {
		b = be.AppendUint32(b, g)
	}
	b = be.AppendUint32(b, uint32(len(c.LockOwner)))
	b = append(b, c.LockOwner...)
	for len(b)%4 != start%4 {
		b = append(b, 0)
	}
	be.PutUint32(b[start-4:], uint32(len(b)-start))
	return b
}
