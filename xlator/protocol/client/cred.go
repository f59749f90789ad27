package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// credential says who asks, and which times the brick is to set. owner is memory
// for the lock owner.
func (s *session) credential(c *rpc.Cred, call *xlator.Call, x *exchange, owner *[8]byte) {
	c.V3 = true
	times := x.times
	if times == 0 && !x.own && accesses(x.fop) && s.set.Load().access {
		times = rpc.Atime
	}
	if times != 0 {
		c.Flags, c.Time = times, x.stamp
		if c.Time.IsZero() {
			c.Time = time.Now()
		}
	}
	pid := int32(call.PID)
	if !x.own {
		c.UID, c.GID = call.UID, call.GID
		c.PID = pid
		if pid <= 0 && c.UID != 0 {
			// A brick takes pid 0 for a client's own work, and checks each
			// read and write of it. This is a process of a container.
			c.PID = int32(os.Getpid())
		}
		if c.UID != 0 && pid > 0 && s.set.Load().groups {
			if c.Groups = call.Groups; c.Groups == nil {
				c.Groups = s.groups.of(call)
			}
		}
	}
	switch {
	case x.owner != nil:
		binary.LittleEndian.PutUint64(owner[:], *x.owner)
		c.LockOwner = owner[:]
	case !x.own && call.LockOwner != 0:
		binary.LittleEndian.PutUint64(owner[:], call.LockOwner)
		c.LockOwner = owner[:]
	default:
		binary.LittleEndian.PutUint32(owner[:], uint32(c.PID))
		c.LockOwner = owner[:4]
	}
}

// accesses reports whether a fop is one whose time is that of an access.
func accesses(fop xdr.Fop) bool {
	return fop == xdr.FopRead || fop == xdr.FopOpen || fop == xdr.FopOpendir
}

// StampAccess implements xlator.AccessStamper.
func (c *Client) StampAccess(on bool) {
	set := *c.settings.Load()
	set.access = on
	c.settings.Store(&set)
	if c.s != nil {
		c.s.apply(&set)
	}
}

// groups are the supplementary groups of processes, as seen a moment ago.
type groups struct {
	mu  sync.Mutex
	m   map[process]membership // guarded by mu
	old time.Time              // when m was begun; guarded by mu
}

type process struct{ pid, uid, gid uint32 }

type membership struct {
	groups []uint32
	until  time.Time
}

// groupsKept is how long groups are believed: a process seldom changes them, and
// changes its uid with them when it does.
const groupsKept = time.Second

// of returns the groups of the process behind the call.
func (g *groups) of(call *xlator.Call) []uint32 {
	p, now := process{call.PID, call.UID, call.GID}, time.Now()
	g.mu.Lock()
	if now.Sub(g.old) > groupsKept {
		g.m, g.old = map[process]membership{}, now // what was in it has had its time
	}
	m, ok := g.m[p]
	g.mu.Unlock()
	if ok && now.Before(m.until) {
		return m.groups
	}
	m = membership{readGroups(call.PID), now.Add(groupsKept)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.m[p] = m
	return m.groups
}

// readGroups asks the kernel; a process that is gone has none.
func readGroups(pid uint32) []uint32 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte("Groups:"))
		if !ok {
			continue
		}
		all := []uint32{}
		for word := range bytes.FieldsSeq(rest) {
			if n, err := strconv.ParseUint(string(word), 10, 32); err == nil {
				all = append(all, uint32(n))
			}
		}
		return all
	}
	return nil
}
