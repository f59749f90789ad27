// Package relay stands between a client and a server that speak Sun RPC with
// record marking over TCP (RFC 5531), as GlusterFS does, counts what passes and
// breaks it where a test says: between two records, inside one, after a request
// was passed on and before its reply is, as often as asked.
//
//	g := relay.Start(t, brick.Addr())               // clients use g.Addr()
//	f := g.Arm(t, relay.Fault{Call: relay.Create, At: relay.BeforeReply, Do: relay.Cut})
//	...                                             // the brick has the file, the client has no reply
//	f.Wait(t)
//	if g.Calls(relay.ToServer, relay.Lookup) != 1 { ... }
//
// What passes is passed byte for byte; only a Rewrite of the owner changes it.
//
// # What it owns
//
// The listening sockets ("doors") and both sides of every connection. One Gate
// may have several doors, for a server that comes back on another port; faults,
// pace and counters are the Gate's and span connections.
//
// Sockets have small receive buffers, so that a stalled direction closes the
// sender's window after some 256 KiB and one record.
//
// # Lock order
//
//	Gate.mu
//	  session.mu
//
// Neither is held while anything is read, written or waited for.
//
// # Who keeps whom alive
//
// A Gate keeps its sessions, a session its four goroutines: one that reads and
// one that writes, in each direction. Close ends them all and waits for them.
//
// # What a crash leaves behind
//
// Nothing: sockets end with the process.
package relay
