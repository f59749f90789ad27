// Package source turns what is mounted into a volfile. SOURCE is a directory,
// for which a graph is made from the settings that `holdfast set` keeps, a .vol
// file, or a volume of GlusterFS servers, HOST:/VOLUME, whose volfile package
// glusterd fetches.
//
// The settings have GlusterFS's names. One table maps each to an option of a
// translator, or to whether a translator is in the graph at all; what values
// they take is declared by the translators themselves.
//
// # What it owns
//
// DIR/.glusterfs/holdfast.options, where the settings of a directory volume
// are kept: a JSON object of strings, written by rename.
//
// # Locks, life, crashes
//
// No locks; nothing is kept in memory. A crash leaves the settings before or
// after a change.
package source
