// Package mountopt is the one table of what may stand after -o: mount(8)'s
// words, the options of mount.glusterfs(8), and Holdfast's own. Parsing,
// validation, the text of `holdfast mount --help` and the page
// docs/mount-options.md all come from that table.
//
// An option is honoured, accepted without effect (the table says why), or
// refused with a reason. Anything else is unknown, which is an error too,
// except for a sloppy mount (mount -s).
//
// The package holds no state and no locks, and leaves nothing behind.
package mountopt
