// Package rpc is the calls to one GlusterFS server: Sun RPC (RFC 5531) over a
// TCP or unix stream socket, done so that the connection goes on when the
// process that uses it dies at any instruction.
//
// It knows records, RPC headers and credentials, and nothing of the programs
// above. [Open] begins on a fresh [Memory]; [Resume] takes over a memory and
// the socket that belongs to it from a process that is gone. [Conn.Call] with
// the kernel's unique and a step is the only way to send: a call that was not
// sent yet is sent, one that was sent is attached to, one that was answered
// gives the recorded reply. So a request's code is a deterministic function that
// the next process simply runs again.
//
// # What it owns
//
// The socket: it is the only one that reads, writes and shuts it down. Not the
// memory: that is the caller's, to be closed after the Conn and after the last
// reply. A Conn has an event loop for the handlers, and per connection a reader,
// a writer for what the socket did not take at once, and a ping; Close waits for
// all of them. A call that is alone receives its reply itself, in the thread that
// waits for it; the reader steps aside for that (turn.go).
//
// There is no send buffer and no log of what was received. The kernel's own
// counters say how far each direction is, whether or not the last system call
// ever returned; the memory holds only the bytes that may be needed again.
//
//	accepted = tcpi_bytes_acked + SIOCOUTQ - base_send
//	consumed = tcpi_bytes_received - SIOCINQ - base_recv      (1 less in CLOSE_WAIT: the FIN counts)
//
// # The memory, byte by byte
//
// Numbers are little-endian; 8-byte words of the header are stored in one
// piece. Positions count bytes of a stream from the first connection of this
// memory on; the streams of a later connection go on counting (the bases see to
// that), and so do xids.
//
//	header, 4096 bytes
//	   0  u32  magic "HRPC"              stored last when a memory is made
//	   4  u32  layout version, 1
//	   8  u32  number of slots
//	  12  u32  size of a slot, 4096
//	  16  u64  size of the ring
//	  24  u64  SO_COOKIE of the socket   the bases are for this socket only; stored after them
//	  32  u64  base_send
//	  40  u64  base_recv
//	  48  u64  epoch: connections so far
//	  64  u64  pub                       end of the last record that is part of the outgoing stream
//	  72  u64  xid                       the last one used (u32); stored before it is used
//	  80  u64  number                    the last one given to the client's own work
//	  88  u64  began                     pub when the connection was made: calls that end before are of earlier ones
//	 128  u64  done                      first byte of the incoming stream that is still needed
//	 136  u64  origin                    its byte that lies at the beginning of the ring; moved only while
//	                                     nothing in the ring is needed
//	1024  1024 bytes                     the user's (Conn.Note)
//	slots, 4096 bytes each
//	   0  u32  state                     0 free, 1 sent, 2 reply kept, 3 connection lost (outcome unknown)
//	   4  u32  xid
//	   8  u64  unique                    bit 63: number of the client's own work
//	  16  u32  step
//	  20  u32  bytes of the record that are here (all but the payload)
//	  24  u64  end                       position after the record
//	  32  u32  bytes of payload
//	  36  u32  payload: 0 none, 1 at an offset in the regions, 2 in the process only
//	  40  u64  that offset
//	  48  u32  where the data goes on: index of a slot + 1
//	  52  u32  bytes of the reply
//	  56  u32  processes that the reply was handed to
//	  60  u32  ring room reserved for the reply; bit 31: it may wait for a lock
//	  64       data: the record from its mark on, then at the next multiple of 8 the kept
//	           reply from accept_stat on; what does not fit goes on at 64 of the next slot
//	ring                                 position p is byte (p - origin) mod size; mapped twice
//
// A slot exists iff its state is not 0 and end <= pub; a slot in which another's
// data goes on has state 0. The stores that decide are one each:
//
//	publish   fill the slot; xid; end; state = 1; pub = end       sent only after that
//	keep      copy the reply; state = 2; then the ring record may go
//	free      state = 0; then the ring record may go
//	release   done = end of the finished prefix of the ring
//
// So the stream from accepted to pub can be put together again from the slots,
// sorted by end; what lies between done and consumed is parsed again. Replies
// whose slot is gone were dealt with. A reply to an unknown xid after the
// position of the take-over costs the connection, as every breach of the
// protocol does.
//
// # Room
//
// Replies longer than 4 KiB are announced (Request.MaxReply), and a call waits
// until the ring has room for all that may come, because a server gives up a
// client whose window stays closed. Do not wait for such a call while holding
// the long reply of another; short ones are copied to their slots at once and
// hold up nothing.
//
// # Lock order
//
// Conn.mu is the only lock; the socket's system calls are made without it
// (shutdown and the reading of counters apart, which do not wait), and no
// handler is called with it.
//
// # Who keeps whom alive
//
//	user ── Conn ── socket ── reader, writer, ping
//	          └── Memory <── Reply (until Release), Callback and Orphan (while handled)
//
// # What a crash leaves behind
//
// The memory and, in the keeper's hands, the socket: everything. Plain memory
// ([Private]) dies with the process, and the connection with it. Not all
// sockets can be gone on with: the kernel does not count the bytes of a unix
// socket, and half of a write whose payload lies in no region cannot be sent
// on. Then Resume gives a Conn without connection that still has the kept
// replies.
//
// A reply that was handed to three processes, each of which died over it, is not
// handed to a fourth (Options.MaxDeaths): the request gets EIO.
package rpc
