package xlator

// Payload is the data of a write. Bytes is valid until the fop returns. A
// translator that wants to answer before its child has the data retains it and
// releases it when the child has answered; that keeps the request's own buffer
// and copies nothing. Retain may refuse when too much is kept already: then the
// translator must not answer early.
type Payload struct {
	Bytes []byte
	Owner PayloadOwner
}

// PayloadOwner is whose memory a Payload is in.
type PayloadOwner interface {
	// Retain keeps the memory as it is until Release. It reports false when
	// the owner has no room for that.
	Retain() bool
	Release()
}

// Retain keeps the bytes beyond the end of the fop, if their owner has room.
// Bytes without an owner may be kept as they are: they are the heap's.
func (p Payload) Retain() bool { return p.Owner == nil || p.Owner.Retain() }

// Release undoes one Retain.
func (p Payload) Release() {
	if p.Owner != nil {
		p.Owner.Release()
	}
}

// Destination is where the data of a read goes. Grab is called at most once,
// right before the bytes are there to be put in, so that a read that waits
// holds no buffer; a nil Destination means the heap.
type Destination interface {
	// Grab returns n bytes of memory that is the caller's until the reply is
	// sent.
	Grab(n int) []byte
}
