// Package glusterd is a client of GlusterFS's management daemon: it fetches the
// volfile of a volume, and hears when that may have changed.
//
//	v, err := glusterd.ParseVolume("host1,host2:/volume/subdir")
//	c := glusterd.New(glusterd.Config{Servers: v.Servers, Volume: v.Name, Log: log})
//	spec, err := c.Fetch(ctx)
//	for range c.Changed() { ... }   // fetch again
//
// # What it owns
//
// A Client has one connection at a time, to the first of its servers that
// answers, and keeps it: the daemon tells every connection when any volume's
// configuration has changed (FETCHSPEC). A connection that is lost is made again,
// for ever, to any of the servers, with growing pauses; once there is one again,
// Changed says that something may have been missed. A daemon that is connected and
// silent counts as lost.
//
// It keeps no volfile: what the mount serves while no daemon can be reached is
// its graph, and the state memory has the text for the next process.
//
// # Lock order
//
// Client.mu is the only lock; nothing is called with it held.
//
// # Who keeps whom alive
//
// The Client keeps its goroutine, which keeps the connection; whoever calls over
// a connection keeps its memory until the call returns. Close ends everything and
// waits for it.
//
// # What a crash leaves behind
//
// Nothing: the daemon forgets a client with its connection.
package glusterd
