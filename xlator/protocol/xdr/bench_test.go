package xdr

import "testing"

// typical is what a plain mount sends and gets most: run with
// go test -bench . -run '^$' ./xlator/protocol/xdr
func typical() (lookup *LookupReq, found *LookupRep, read *ReadReq, got *ReadRep, write *WriteReq, wrote *WriteRep) {
	stat := Iatt{GFID: GFID{1, 2, 3}, Flags: IattKnows, Size: 4096, Nlink: 1, Mode: 0o100644}
	lookup = &LookupReq{Parent: root, Name: "a-file-name.txt", Xdata: Dict{
		DictInt("trusted.glusterfs.mdata", 1), DictUint("glusterfs.content", 65536),
		DictInt("security.ima", 0), DictInt("security.capability", 0), DictGFID("gfid-req", GFID{4, 5, 6}),
	}}
	found = &LookupRep{Stat: stat, Postparent: stat, Xdata: Dict{DictBytes("trusted.glusterfs.mdata", make([]byte, 57))}}
	read = &ReadReq{GFID: stat.GFID, FD: 3, Offset: 4096, Size: 4096}
	got = &ReadRep{Result: Result{Ret: 4096}, Stat: stat, Size: 4096}
	write = &WriteReq{GFID: stat.GFID, FD: 3, Offset: 4096, Size: 4096}
	wrote = &WriteRep{Result: Result{Ret: 4096}, Pre: stat, Post: stat}
	return
}

// TestEncodingIntoAReusedBufferAllocatesNothing, for every message.
func TestEncodingIntoAReusedBufferAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1<<16)
	forEach(t, func(t *testing.T, empty func() Message) {
		v := empty()
		if err := Decode(sample(empty, 1), v); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { buf = v.AppendTo(buf[:0]) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// TestDecodingWithoutXdataAllocatesNothing: what a data path decodes, when the
// type is known and the decoder can stay on the stack.
func TestDecodingWithoutXdataAllocatesNothing(t *testing.T) {
	_, found, read, got, write, wrote := typical()
	found.Xdata = nil
	data := make([]byte, 4096)
	wire := found.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		var v LookupRep
		d := NewDecoder(wire)
		v.DecodeFrom(&d)
		if d.Finish() != nil {
			t.Error("malformed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a LOOKUP reply", n)
	}
	wire = append(got.AppendTo(nil), data...)
	if n := testing.AllocsPerRun(100, func() {
		var v ReadRep
		d := NewDecoder(wire)
		v.DecodeFrom(&d)
		if p, err := d.FinishPayload(v.PayloadSize()); err != nil || len(p) != 4096 {
			t.Error("malformed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a READ reply", n)
	}
	wire = read.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		var v ReadReq
		d := NewDecoder(wire)
		v.DecodeFrom(&d)
		if d.Finish() != nil {
			t.Error("malformed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a READ request", n)
	}
	wire = append(write.AppendTo(nil), data...)
	if n := testing.AllocsPerRun(100, func() {
		var v WriteReq
		d := NewDecoder(wire)
		v.DecodeFrom(&d)
		if p, err := d.FinishPayload(v.PayloadSize()); err != nil || len(p) != 4096 {
			t.Error("malformed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a WRITE request", n)
	}
	wire = wrote.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		var v WriteRep
		d := NewDecoder(wire)
		v.DecodeFrom(&d)
		if d.Finish() != nil {
			t.Error("malformed")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a WRITE reply", n)
	}
}

func benchEncode(b *testing.B, v Message) {
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = v.AppendTo(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func benchDecode(b *testing.B, v Message, payload int) {
	wire := append(v.AppendTo(nil), make([]byte, payload)...)
	d := new(Decoder)
	b.ReportAllocs()
	for b.Loop() {
		*d = NewDecoder(wire)
		v.DecodeFrom(d)
		if _, err := d.FinishPayload(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	lookup, found, read, got, write, wrote := typical()
	b.Run("LookupReq", func(b *testing.B) { benchEncode(b, lookup) })
	b.Run("LookupRep", func(b *testing.B) { benchEncode(b, found) })
	b.Run("ReadReq", func(b *testing.B) { benchEncode(b, read) })
	b.Run("ReadRep", func(b *testing.B) { benchEncode(b, got) })
	b.Run("WriteReq", func(b *testing.B) { benchEncode(b, write) })
	b.Run("WriteRep", func(b *testing.B) { benchEncode(b, wrote) })
}

func BenchmarkDecode(b *testing.B) {
	lookup, found, read, got, write, wrote := typical()
	b.Run("LookupReq", func(b *testing.B) { benchDecode(b, lookup, 0) })
	b.Run("LookupRep", func(b *testing.B) { benchDecode(b, found, 0) })
	b.Run("ReadReq", func(b *testing.B) { benchDecode(b, read, 0) })
	b.Run("ReadRep", func(b *testing.B) { benchDecode(b, got, 4096) })
	b.Run("WriteReq", func(b *testing.B) { benchDecode(b, write, 4096) })
	b.Run("WriteRep", func(b *testing.B) { benchDecode(b, wrote, 0) })
}

// BenchmarkReaddirp is a full reply of the size that the kernel asks for.
func BenchmarkReaddirp(b *testing.B) {
	v := &ReaddirpRep{Result: Result{Ret: 400}}
	for range 400 {
		v.Entries = append(v.Entries, DirEntryPlus{DirEntry: DirEntry{Name: "a-file-name.txt"}, Dict: Dict{}})
	}
	b.Run("encode", func(b *testing.B) { benchEncode(b, v) })
	b.Run("decode", func(b *testing.B) { benchDecode(b, v, 0) })
}
