package distribute

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// guards keep the brick from removing a link file that has become a file since,
// or that somebody has open.
func guards() *xlator.Dict {
	x := &xlator.Dict{}
	x.SetInt("unlink-only-if-dht-linkto-file", 1)
	x.SetInt("dont-unlink-for-open-fd", 1)
	return x
}

// suspect reports whether attributes are those of a link file. Few other files
// have them, so that it costs little to look closer.
func (d *Distribute) suspect(a *xlator.Iatt) bool {
	return d.spread && a.Type == xlator.TypeRegular && a.Mode == unix.S_ISVTX && a.Size == 0
}

// isLink looks closer: whether the file says where its data is.
func (d *Distribute) isLink(i *xlator.Inode) (bool, error) {
	_, err := d.Next.Getxattr(xlator.Internal(), &xlator.GetxattrReq{Inode: i, Name: d.linktoKey})
	switch {
	case err == nil:
		return true, nil
	case gone(err), errors.Is(err, unix.ENODATA):
		return false, nil
	}
	return false, fmt.Errorf("is it a link file: %w", err)
}

func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// Lookup does not find link files by name.
func (d *Distribute) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	rep, err := d.Next.Lookup(ctx, r)
	if err != nil || r.Parent == nil || !d.suspect(&rep.Attr) {
		return rep, err
	}
	link, err := d.isLink(rep.Inode)
	if err != nil {
		return nil, err
	}
	if link {
		return nil, fmt.Errorf("lookup %s: only a link file to a brick that is gone: %w", r.Name, unix.ENOENT)
	}
	return rep, nil
}

// Readdir lists what is no link file. To know them it needs attributes.
func (d *Distribute) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	if !d.spread {
		return d.Next.Readdir(ctx, r)
	}
	return d.Readdirp(ctx, r)
}

// Readdirp lists what is no link file. Offsets are the child's.
func (d *Distribute) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	rep, err := d.Next.Readdirp(ctx, r)
	for d.spread && err == nil && len(rep.Entries) > 0 {
		next := rep.Entries[len(rep.Entries)-1].Offset
		var links []xlator.DirEntry
		if rep.Entries, links, err = d.part(rep.Entries); err != nil || len(rep.Entries) > 0 || len(links) == 0 {
			break
		}
		again := *r // nothing left of them, but that would be the end
		again.Offset = next
		rep, err = d.Next.Readdirp(ctx, &again)
	}
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// part separates link files from the rest.
func (d *Distribute) part(all []xlator.DirEntry) (rest, links []xlator.DirEntry, err error) {
	rest = all[:0]
	for _, e := range all {
		link := false
		if e.Inode != nil && d.suspect(&e.Attr) {
			if link, err = d.isLink(e.Inode); err != nil {
				return nil, nil, err
			}
		}
		if link {
			links = append(links, e)
		} else {
			rest = append(rest, e)
		}
	}
	return rest, links, nil
}

// free does what needs a free name, again if only a link file was in the way.
func free[T any](d *Distribute, parent *xlator.Inode, name string, do func() (T, error)) (T, error) {
	rep, err := do()
	if d.spread && errors.Is(err, unix.EEXIST) && d.clear(parent, name) {
		return do()
	}
	return rep, err
}

// clear removes what has that name if it is a link file, and reports whether the
// name is free now.
func (d *Distribute) clear(parent *xlator.Inode, name string) bool {
	rep, err := d.Next.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: parent, Name: name})
	if err != nil {
		return errors.Is(err, unix.ENOENT)
	}
	if !d.suspect(&rep.Attr) {
		return false
	}
	if link, err := d.isLink(rep.Inode); err != nil || !link {
		return false
	}
	return d.remove(parent, name, rep.Attr.GFID) == nil
}

func (d *Distribute) remove(parent *xlator.Inode, name string, link xlator.GFID) error {
	_, err := d.Next.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: parent, Name: name, Victim: link, Xdata: guards()})
	if gone(err) {
		return nil
	}
	return err
}

// Mknod implements xlator.Fops.
func (d *Distribute) Mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	return free(d, r.Parent, r.Name, func() (*xlator.EntryRep, error) { return d.Next.Mknod(ctx, r) })
}

// Symlink implements xlator.Fops.
func (d *Distribute) Symlink(ctx context.Context, r *xlator.SymlinkReq) (*xlator.EntryRep, error) {
	return free(d, r.Parent, r.Name, func() (*xlator.EntryRep, error) { return d.Next.Symlink(ctx, r) })
}

// Link implements xlator.Fops.
func (d *Distribute) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	return free(d, r.Parent, r.Name, func() (*xlator.EntryRep, error) { return d.Next.Link(ctx, r) })
}

// Rename implements xlator.Fops. A link file under the new name is replaced as
// any file.
func (d *Distribute) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	return free(d, r.NewParent, r.NewName, func() (*xlator.RenameRep, error) { return d.Next.Rename(ctx, r) })
}

// Create implements xlator.Fops. Without O_EXCL it would open a link file.
func (d *Distribute) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	rep, err := free(d, r.Parent, r.Name, func() (*xlator.CreateRep, error) { return d.Next.Create(ctx, r) })
	if err != nil || rep.Made || !d.spread || !d.openedLink(rep) {
		return rep, err
	}
	d.Next.Release(rep.FD)
	if !d.clear(r.Parent, r.Name) {
		return nil, fmt.Errorf("create %s: a link file to a brick that is gone is in use: %w", r.Name, unix.EBUSY)
	}
	return d.Next.Create(ctx, r)
}

// openedLink reports whether a create has opened a link file. Where that cannot be
// found out, what was opened is what there is.
func (d *Distribute) openedLink(rep *xlator.CreateRep) bool {
	attr := rep.Attr
	if !attr.Valid() {
		st, err := d.Next.Fstat(xlator.Internal(), &xlator.FstatReq{FD: rep.FD})
		if err != nil {
			return false
		}
		attr = st.Attr
	}
	if !d.suspect(&attr) {
		return false
	}
	link, err := d.isLink(rep.FD.Inode())
	return err == nil && link
}

// Rmdir removes a directory of which only link files are left.
func (d *Distribute) Rmdir(ctx context.Context, r *xlator.RmdirReq) (*xlator.UnlinkRep, error) {
	rep, err := d.Next.Rmdir(ctx, r)
	if d.spread && errors.Is(err, unix.ENOTEMPTY) && d.empty(r.Parent, r.Name) {
		return d.Next.Rmdir(ctx, r)
	}
	return rep, err
}

// empty removes the link files of a directory in which nothing else is, and
// reports whether there is nothing now.
func (d *Distribute) empty(parent *xlator.Inode, name string) bool {
	found, err := d.Next.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: parent, Name: name})
	if err != nil {
		return false
	}
	links, err := d.onlyLinks(found.Inode)
	for _, e := range links {
		if err == nil {
			err = d.remove(found.Inode, e.Name, e.Attr.GFID)
		}
	}
	return err == nil
}

var errOthers = errors.New("there are other entries")

// onlyLinks lists the link files of a directory; an error if there is anything
// else.
func (d *Distribute) onlyLinks(dir *xlator.Inode) (links []xlator.DirEntry, err error) {
	call := xlator.Internal()
	open, err := d.Next.Opendir(call, &xlator.OpenReq{Inode: dir, Flags: unix.O_RDONLY | unix.O_DIRECTORY})
	if err != nil {
		return nil, err
	}
	defer d.Next.Release(open.FD)
	req := &xlator.ReaddirReq{FD: open.FD, Size: 64 << 10}
	for {
		rep, err := d.Next.Readdirp(call, req)
		if err != nil || len(rep.Entries) == 0 {
			return links, err
		}
		req.Offset = rep.Entries[len(rep.Entries)-1].Offset
		rest, more, err := d.part(rep.Entries)
		if err != nil {
			return nil, err
		}
		links = append(links, more...)
		for _, e := range rest {
			if e.Name != "." && e.Name != ".." {
				return nil, errOthers
			}
		}
	}
}
