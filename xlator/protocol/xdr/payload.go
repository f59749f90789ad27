package xdr

import "encoding/binary"

// PayloadSize implements PayloadMessage: nothing follows an error.
func (v *ReadRep) PayloadSize() int {
	if v.Ret < 0 {
		return 0
	}
	return int(v.Size)
}

// PayloadSize implements PayloadMessage.
func (v *WriteReq) PayloadSize() int { return int(v.Size) }

// PayloadSize implements PayloadMessage.
func (v *PutReq) PayloadSize() int { return int(v.Size) }

// How many bytes a receiver needs of a message before it knows where the
// payload begins: all that comes before the pairs of Xdata.
const (
	ReadRepFixed  = 4 + 4 + IattSize + 4 + dictHeader // 172 (wire facts, 1) [W]
	WriteReqFixed = 16 + 8 + 8 + 4 + 4 + dictHeader   // 52
	readRepSize   = ReadRepFixed - dictHeader         // where Xdata's length is
	writeReqSize  = WriteReqFixed - dictHeader        // likewise
)

// ReadRepLen returns the length of the XDR part of a READ reply from its first
// ReadRepFixed bytes: what follows it is data. The result is what the peer
// claims, up to 4 GiB, and to be compared with the length of the record.
func ReadRepLen(first *[ReadRepFixed]byte) int64 {
	return payloadOffset(ReadRepFixed, first[readRepSize:])
}

// WriteReqLen does for a WRITE request what ReadRepLen does for a READ reply.
func WriteReqLen(first *[WriteReqFixed]byte) int64 {
	return payloadOffset(WriteReqFixed, first[writeReqSize:])
}

// payloadOffset adds the length of Xdata's pairs, rounded up to four as
// GlusterFS does it.
func payloadOffset(fixed int64, xdrSize []byte) int64 {
	return fixed + (int64(binary.BigEndian.Uint32(xdrSize))+3)&^3
}
