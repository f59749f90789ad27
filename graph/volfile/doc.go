// Package volfile reads and writes volfiles, the text that describes a graph,
// compares two of them and draws one.
//
// It owns the grammar and nothing else: what a type or an option means is for
// others. The grammar is GlusterFS's:
//
//	volume NAME
//	    type TYPE
//	    option KEY VALUE       # any number, before or after subvolumes
//	    subvolumes NAME...     # at most once
//	end-volume
//
// Tokens are separated by spaces, tabs, CR and LF; how they are spread over
// lines does not matter. A word is a run of other characters except the double
// quote and the backslash. A string is in double quotes, on one line, and a
// backslash in it takes the next character as it is. The five keywords are
// lower case and only whole words: a volume called "type" has to be quoted. A
// # begins a comment that ends with the line, but only where a token could
// begin: a#b is one word.
//
// A subvolume must have been defined further up, so there are no cycles; the
// last volume is the top of the graph. An option given twice in a volume is a
// warning, and the last value wins. Everything else that is out of order is an
// error with file and line.
//
// # Backticks
//
// GlusterFS runs what stands between two backticks as a shell command, also in
// comments. A volfile may come from the network; here a backtick is an error
// wherever it is, and nothing is ever run. A backslash before it makes it an
// ordinary character of a comment or a string.
//
// # Normal form
//
// [File.Format] prints what glusterd writes: four spaces of indentation, the
// type, the options in order, the subvolumes, and one empty line between
// volumes. Comments are not kept.
//
// # Locks, life, crashes
//
// There are no locks; a [File] is not changed by this package once parsed, and
// may then be read by anybody. It refers to nothing outside. Nothing is written
// to disk.
package volfile
