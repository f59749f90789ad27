package posix

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const (
	xattrAccess  = "system.posix_acl_access"
	xattrDefault = "system.posix_acl_default"
)

// aclEntry is one entry of an ACL as in acl(5); the numbers are those of the
// kernel's xattr format (posix_acl_xattr.h).
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

type acl []aclEntry

const (
	aclVersion  = 2
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// parseACL reads the xattr's value; nil if it is not one.
func parseACL(b []byte) acl {
	if len(b) < 4 || len(b)%8 != 4 || binary.LittleEndian.Uint32(b) != aclVersion {
		return nil
	}
	var a acl
	for b = b[4:]; len(b) > 0; b = b[8:] {
		a = append(a, aclEntry{binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])})
	}
	return a
}

func (a acl) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range a {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// readACL reads an object's ACL; nil without one, also where the file system
// has none.
func readACL(k *kfd, name string) (acl, error) {
	b, err := sized(func(b []byte) (int, error) { return k.getxattr(name, b) })
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseACL(b), nil
}

func (a acl) find(tag uint16) *aclEntry {
	for i := range a {
		if a[i].tag == tag {
			return &a[i]
		}
	}
	return nil
}

// inherit is what an object made with that mode gets from its directory's
// default ACL: permission bits, and an access ACL unless these say it all
// (acl(5), OBJECT CREATION AND DEFAULT ACLs).
func (a acl) inherit(mode uint32) (uint32, acl) {
	access := slices.Clone(a)
	class := func(e *aclEntry, shift uint) {
		if e != nil {
			e.perm &= uint16(mode >> shift & 7)
			mode = mode&^(7<<shift) | uint32(e.perm)<<shift
		}
	}
	class(access.find(aclUserObj), 6)
	class(access.find(aclOther), 0)
	if m := access.find(aclMask); m != nil {
		class(m, 3)
	} else {
		class(access.find(aclGroupObj), 3)
	}
	if len(access) <= 3 {
		return mode, nil
	}
	return mode, access
}

// permitted evaluates mode bits or the ACL for a caller (acl(5), ACCESS CHECK
// ALGORITHM), want being a mask of 4 read, 2 write, 1 execute.
func permitted(c *xlator.Call, a *xlator.Iatt, list acl, want uint32) bool {
	if c.UID == 0 {
		return want&1 == 0 || a.Type == xlator.TypeDirectory || a.Mode&0o111 != 0
	}
	in := func(g uint32) bool { return c.GID == g || slices.Contains(c.Groups, g) }
	may := func(perm uint32) bool { return perm&want == want }
	if c.UID == a.UID {
		return may(a.Mode >> 6 & 7)
	}
	// With a mask that lets nothing through, Linux does not look at the list
	// (fs/namei.c, acl_permission_check): who is named there counts as other.
	if len(list) == 0 || a.Mode&0o070 == 0 {
		if in(a.GID) {
			return may(a.Mode >> 3 & 7)
		}
		return may(a.Mode & 7)
	}
	mask := uint32(7)
	if m := list.find(aclMask); m != nil {
		mask = uint32(m.perm)
	}
	for _, e := range list {
		if e.tag == aclUser && e.id == c.UID {
			return may(uint32(e.perm) & mask)
		}
	}
	member := false
	for _, e := range list {
		if e.tag == aclGroupObj && in(a.GID) || e.tag == aclGroup && in(e.id) {
			member = true
			if may(uint32(e.perm) & mask) {
				return true
			}
		}
	}
	return !member && may(a.Mode&7)
}
