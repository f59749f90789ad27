// Package distribute is cluster/distribute: files spread over several bricks by
// the hash of their names. glusterd puts it into the graph of every volume, so
// also into that of a volume of one brick; those are the ones that it serves so
// far. With more subvolumes than one the graph is refused.
//
// # What is left to do with one brick
//
//   - A new directory is given the layout of the whole ring in its MKDIR, so that
//     the volume can be given more bricks later.
//   - Layouts and what else the type keeps in extended attributes are not for
//     applications: they neither see nor change them.
//   - A volume that was shrunk to one brick may have kept link files, which stood
//     for data on the bricks that are gone. Such a name is treated as free: it is
//     not found, not listed, and what is in the way of a new object or of the
//     removal of its directory goes. (The stock client with one subvolume shows
//     link files as what they are.) A volume that always had one brick has none
//     and pays nothing: its root has no layout, which Start looks up.
//
// Everything else, offsets of listings among it, passes unchanged.
//
// # A link file
//
// is an empty regular file of mode 01000 exactly with the extended attribute
// linkto (see [Distribute]). The stock client with one subvolume lets applications write
// into one; then it is a file.
//
// # Lock order, life, crashes
//
// No locks, no state but what Start learnt, no goroutines. It keeps its child.
// Its own work (looking at link files, removing them) has no step numbers: a
// request that is carried out again by another process finds the names free. A
// crash leaves link files or none.
package distribute
