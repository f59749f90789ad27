package posix

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// picture is what is on disk, in text: names, identities, rights, content,
// handles, what is in staging and unlink; without what may differ (times, inode
// numbers, folders of handles).
func (b *brick) picture() string {
	b.t.Helper()
	var lines []string
	byInode := map[uint64]string{}
	walk := func(root, shown string) {
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if p == b.path(metaName) {
				return filepath.SkipDir
			}
			rel, _ := filepath.Rel(root, p)
			lines = append(lines, shown+rel+" "+b.describeFile(p, byInode, shown+rel))
			return nil
		})
		b.must(err)
	}
	walk(b.dir, "/")
	walk(b.path(metaName, orphansName), "unlink/")
	walk(b.path(metaName, stagingName), "staging/")
	handles, err := filepath.Glob(b.path(metaName, "??", "??", "*"))
	b.must(err)
	for _, h := range handles {
		st := lstat(b.t, h)
		leads := byInode[st.Ino]
		if target, err := os.Readlink(h); err == nil && leads == "" {
			leads = "-> " + target
		}
		lines = append(lines, fmt.Sprintf("handle %s %s", filepath.Base(h), leads))
	}
	return strings.Join(lines, "\n")
}

func (b *brick) describeFile(p string, byInode map[uint64]string, shown string) string {
	b.t.Helper()
	st := lstat(b.t, p)
	if first := byInode[st.Ino]; first != "" {
		return "is " + first
	}
	byInode[st.Ino] = shown
	s := fmt.Sprintf("mode %o owner %d:%d links %d", st.Mode, st.Uid, st.Gid, st.Nlink)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		data, err := os.ReadFile(p)
		b.must(err)
		s += fmt.Sprintf(" size %d content %q", st.Size, bytes.TrimRight(data, "\x00"))
	case unix.S_IFLNK:
		target, err := os.Readlink(p)
		b.must(err)
		s += " -> " + target
	case unix.S_IFCHR, unix.S_IFBLK:
		s += fmt.Sprintf(" device %x", st.Rdev)
	case unix.S_IFDIR:
		s = fmt.Sprintf("mode %o owner %d:%d", st.Mode, st.Uid, st.Gid) // folders of handles are links of .glusterfs
	}
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	b.must(err)
	names := strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		if name != "" && name != xattrVolume && name != xattrMark {
			s += fmt.Sprintf(" %s=%x", name, xattr(b.t, p, name))
		}
	}
	return s
}

// plain is a reply without what may differ between two runs, in text. Of what is
// gone for ever little is known after a death.
func plain(rep any, err error) string {
	if err != nil {
		return xlator.Errno(err).Error()
	}
	var s []string
	v := reflect.ValueOf(rep).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i).Interface().(type) {
		case xlator.Iatt:
			if f.Nlink == 0 {
				f = xlator.Iatt{GFID: f.GFID, Type: f.Type}
			}
			if f.Type == xlator.TypeDirectory {
				f.Size = 0 // ext4's directories only grow
			}
			f.Atime, f.Mtime, f.Ctime, f.Btime, f.Blocks = xlator.Time{}, xlator.Time{}, xlator.Time{}, xlator.Time{}, 0
			s = append(s, fmt.Sprintf("%s %+v", name, f))
		case *xlator.Inode:
			s = append(s, fmt.Sprintf("%s %s %v", name, f.GFID(), f.Type()))
		case *xlator.FD:
			s = append(s, fmt.Sprintf("%s %s %v flags %o base %d", name, f.Inode().GFID(), f.Inode().Type(), f.Flags(), f.Base()))
		default:
			s = append(s, fmt.Sprintf("%s %+v", name, f))
		}
	}
	return strings.Join(s, "\n")
}
