// Package xdr is the codec of GlusterFS's wire format: the arguments and
// results of every procedure that a client of a brick or of the management
// daemon sends, and of the callbacks that it gets. It turns Go structs into
// bytes and back and does nothing else: record marking, RPC headers and
// credentials are package rpc's, and what a value means to a translator is
// protocol/client's.
//
// # Encoding and decoding
//
// Every request and reply is a struct whose fields are in wire order, with two
// methods ([Message]):
//
//	buf = req.AppendTo(buf[:0])      // grows buf as append does; allocates nothing when it is large enough
//
//	d := xdr.NewDecoder(body)
//	rep.DecodeFrom(&d)
//	if err := d.Finish(); err != nil // *Error: which field of which struct, and what is left over
//
// or xdr.Decode(body, &rep), which is the same thing behind an interface. Each
// fop has a Req and a Rep type named after it, FlushReq and FlushRep; fops of
// the same layout share one type by alias. [NewRequest] and [NewReply] make the
// empty value for a procedure number.
//
// Encoders cannot fail: they write what they are given. Decoders trust nothing:
// every length is checked against what is left of the message and against a
// limit before anything is allocated, and what they allocate is bounded by a
// small multiple of the message's length.
//
// # Payload
//
// The data of WRITE, PUT (request) and READ (reply) follows the XDR part
// unpadded and without a length of its own. AppendTo writes the XDR part; the
// caller sends the data right behind it from wherever it is. [DecodePayload] or
// [Decoder.FinishPayload] return it as a sub-slice of the message. A receiver
// that wants the data somewhere else reads [ReadRepFixed] bytes, asks
// [ReadRepLen], and receives the rest into its place.
//
// # Who keeps whom alive
//
// Strings are copied when they are decoded. Byte slices (values of dictionaries,
// lock owners, checksums, payload) are parts of the decoded message and live as
// long as its buffer does: who keeps one beyond that copies it. Encoders keep
// nothing of what they are given.
//
// # NULL and empty
//
// A [Dict] that is nil is GlusterFS's NULL dictionary, Dict{} is one without
// entries; they differ on the wire and both are legal everywhere. The same holds
// for [OldDict]: nil is an opaque of length zero.
//
// # Facts
//
// Comments name the wire facts that a number or layout comes from: [W] was seen
// on the wire between GlusterFS 10.3's own client and bricks, [S] was read in
// its public protocol definition only.
//
// This package owns no state, takes no lock, starts no goroutine and leaves
// nothing behind in a crash.
package xdr
