package client

import (
	"bytes"
	"fmt"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// iattOf is attributes from the wire; absent ones are zero, which is not Valid.
func iattOf(a *xdr.Iatt) xlator.Iatt {
	if a.GFID == (xdr.GFID{}) {
		return xlator.Iatt{}
	}
	return xlator.Iatt{
		GFID: a.GFID, Type: xlator.TypeOf(a.Mode), Mode: a.Mode & 0o7777, Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		Rdev: xdr.RdevToDev(a.Rdev), Size: a.Size, Blksize: a.Blksize, Blocks: a.Blocks,
		Atime: xlator.Time{Sec: a.Atime, Nsec: a.AtimeNsec}, Mtime: xlator.Time{Sec: a.Mtime, Nsec: a.MtimeNsec},
		Ctime: xlator.Time{Sec: a.Ctime, Nsec: a.CtimeNsec}, Btime: xlator.Time{Sec: a.Btime, Nsec: a.BtimeNsec},
	}
}

// wireIatt is the inverse.
func wireIatt(a *xlator.Iatt) xdr.Iatt {
	return xdr.Iatt{
		GFID: a.GFID, Ino: a.GFID.Ino(), Flags: xdr.IattKnows, Mode: a.StMode(), Nlink: a.Nlink, UID: a.UID, GID: a.GID,
		Rdev: xdr.DevToRdev(a.Rdev), Size: a.Size, Blksize: a.Blksize, Blocks: a.Blocks,
		Atime: a.Atime.Sec, AtimeNsec: a.Atime.Nsec, Mtime: a.Mtime.Sec, MtimeNsec: a.Mtime.Nsec,
		Ctime: a.Ctime.Sec, CtimeNsec: a.Ctime.Nsec, Btime: a.Btime.Sec, BtimeNsec: a.Btime.Nsec,
	}
}

// object is the Inode of attributes that have to be there, with them.
func (c *Client) object(a *xdr.Iatt) (*xlator.Inode, xlator.Iatt, error) {
	attr := iattOf(a)
	if !attr.Valid() {
		return nil, attr, fmt.Errorf("the brick's reply has no gfid or no file type: %w", syscall.EIO)
	}
	return c.env.Inodes.Get(attr.GFID, attr.Type), attr, nil
}

// wireDict is a dictionary as it travels. The values are not copied.
func wireDict(d *xlator.Dict) xdr.Dict {
	if d.Len() == 0 {
		return nil
	}
	w := make(xdr.Dict, 0, d.Len()+2)
	for _, p := range d.Pairs() {
		switch p.Type {
		case xlator.DictString:
			w = append(w, xdr.DictText(p.Key, string(p.Data)))
		case xlator.DictInt:
			w = append(w, xdr.DictInt(p.Key, p.Num))
		case xlator.DictUint:
			w = append(w, xdr.DictUint(p.Key, uint64(p.Num)))
		case xlator.DictGFID:
			w = append(w, xdr.DictGFID(p.Key, xdr.GFID(gfidBytes(p.Data))))
		case xlator.DictIatt:
			var a *xdr.Iatt
			if p.Iatt != nil {
				v := wireIatt(p.Iatt)
				a = &v
			}
			w = append(w, xdr.DictIatt(p.Key, a))
		default:
			w = append(w, xdr.DictBytes(p.Key, p.Data))
		}
	}
	return w
}

func gfidBytes(b []byte) (g [16]byte) {
	copy(g[:], b)
	return g
}

// dictOf is a dictionary from the wire, with copies of its values.
func dictOf(w xdr.Dict) *xlator.Dict {
	if len(w) == 0 {
		return nil
	}
	d := &xlator.Dict{}
	for i := range w {
		p := &w[i]
		q := xlator.Pair{Key: p.Key}
		switch p.Type {
		case xdr.DictTypeInt:
			q.Type, q.Num = xlator.DictInt, int64(p.Num)
		case xdr.DictTypeUint:
			q.Type, q.Num = xlator.DictUint, int64(p.Num)
		case xdr.DictTypeText:
			q.Type, q.Data = xlator.DictString, bytes.Clone(p.Data)
		case xdr.DictTypeGFID:
			q.Type, q.Data = xlator.DictGFID, bytes.Clone(p.GFID[:])
		case xdr.DictTypeIatt:
			q.Type = xlator.DictIatt
			if p.Iatt != nil {
				a := iattOf(p.Iatt)
				q.Iatt = &a
			}
		case xdr.DictTypeOld, xdr.DictTypeBytes:
			q.Data = bytes.Clone(p.Data)
		default: // floating point, and times in a form that nobody asks for
			continue
		}
		d.Set(q)
	}
	return d
}

// xattrsOf is the values of extended attributes: bytes, whatever the brick has
// marked them as.
func xattrsOf(w xdr.Dict) *xlator.Dict {
	d := &xlator.Dict{}
	for i := range w {
		if v, ok := w[i].Bytes(); ok {
			d.SetBytes(w[i].Key, append([]byte{}, v...))
		}
	}
	return d
}

// wireXattrs is extended attributes to be set: all as bytes, since a brick would
// store the NUL of a text.
func wireXattrs(d *xlator.Dict) xdr.Dict {
	w := make(xdr.Dict, 0, d.Len())
	for _, p := range d.Pairs() {
		v, _ := d.Bytes(p.Key)
		w = append(w, xdr.DictBytes(p.Key, v))
	}
	return w
}

// makeXdata is what a request to make something carries: its gfid, and the mode
// before the umask, which a default ACL of the directory has instead of it.
func makeXdata(d *xlator.Dict, g xlator.GFID, mode, umask uint32) xdr.Dict {
	w := append(wireDict(d), xdr.DictGFID("gfid-req", xdr.GFID(g)))
	return append(w, xdr.DictInt("umask", int64(umask)), xdr.DictInt("mode", int64(mode)))
}
