package xdr_test

import (
	"fmt"

	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// A request is appended behind what the RPC layer has put into the buffer; the
// data of a WRITE is sent behind that, from where it is.
func Example_request() {
	buf := make([]byte, 0, 4096)
	data := []byte("hello")
	req := xdr.WriteReq{GFID: xdr.GFID{15: 7}, FD: 3, Offset: 4096, Size: uint32(len(data))}
	buf = req.AppendTo(buf[:0])
	fmt.Println(len(buf), "bytes, then", req.PayloadSize())
	// Output: 52 bytes, then 5
}

// A reply is decoded with a decoder on the stack; its error says which field of
// which struct is wrong.
func Example_reply() {
	body := (&xdr.LookupRep{Result: xdr.Result{Ret: -1, Errno: 2}}).AppendTo(nil)

	var rep xdr.LookupRep
	d := xdr.NewDecoder(body)
	rep.DecodeFrom(&d)
	fmt.Println(d.Finish())
	fmt.Println(rep.Err())

	fmt.Println(xdr.Decode(body[:30], &rep))
	// Output:
	// <nil>
	// no such file or directory
	// malformed LookupRep: stat: 148 bytes wanted, 10 left
}
