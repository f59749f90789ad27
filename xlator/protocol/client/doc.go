// Package client is the translator protocol/client: a brick of a GlusterFS
// volume, over the network. It speaks fop program 400 to an unmodified brick.
//
// # What it owns
//
// A session per brick in the mount's pool, shared by all graphs that name the
// same host, port, subvolume, transport and credentials: the connection (package
// rpc), what is open on the brick, the record of the locks held there and the
// waits for locks. A [Client] is one graph's view of it and owns nothing that a
// switch of the graph could lose.
//
// # One fop
//
// [Client.do] is the only way to the brick: it enters the session (waiting while
// there is none), puts the number of the open object into the encoded request,
// calls, and decodes. A fop's own code converts, there and back.
//
// Sessions are numbered (rpc.Conn.Epoch). A remote fd belongs to one session: it
// is kept in a hint.Ref under that number, and opened again by gfid on its next
// use after a loss. Whoever is between enter and leave keeps the next session
// from beginning, so that no number is ever sent on a session it was not got on.
//
// # A lost connection
//
// Calls that were not sent are sent on the next session. Of those that were sent
// and not answered nobody knows the outcome: what can be repeated is repeated,
// what cannot is looked at first (resolve.go). Locks that applications hold are
// taken again before the new session is used for anything else; a lock that
// somebody else has, or a file that is not as it was last seen under the lock,
// makes the open files concerned LOST (relock.go).
//
// # The process before
//
// Under a keeper the connection is not the process's ([kept]): the keeper holds the
// socket and a memory file with package rpc's memory, the payloads of writes on
// their way and a record of each open object. The next process takes the stream
// over, waits until the changes that were sent are answered, and is up (inherit.go).
// Requests come back and attach to their calls, which are named by the kernel's
// request and by what they ask for; what is open is adopted by base fd; locks are
// recorded by the table's word (restore.go). When everybody knows what he has to
// (xlator.Recovery), what nobody asks for is undone. Until there is a next process
// the keeper receives what the brick sends ([Tend]).
//
// # Lock order
//
//	session.mu          state, who uses the session; not held across calls
//	session.openMu      what is open
//	  file.mu           locks and attributes of one file
//	names.mu            alone
//	groups.mu           alone
//	records.mu          alone, or under opened.mu
//	arena.mu            alone
//
// A hint.Ref's lock is taken under none of them.
//
// # Who keeps whom alive
//
//	Pool ── session ── rpc.Conn, memory
//	          ├── remote (counted by the FDs that share it) ── file
//	          └── ticket (a waiting lock, until it is granted and fetched)
//	FD slot ── remote
//
// # What a crash leaves behind
//
// With the keeper, everything. Without one, or over TLS or a unix socket: on the
// brick, what was open and locked, until it sees the end of the connection; it then
// drops both.
package client
