package fuse

import (
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// BenchmarkRequest is what one request costs from read(2) to write(2), in a
// session of which the other side is played:
//
//	go test -bench Request -benchmem ./fuse
//
// The graph is features/locks above storage/posix; "nothing" never gets there.
// "kept" is a session whose requests survive the process, "plain" one without a
// keeper.
func BenchmarkRequest(b *testing.B) {
	plain := play(b, Options{}, nil)
	node, fh := plain.create("f")
	kept := plain.successor(leave(b).process())
	for name, k := range map[string]*kernel{"plain": plain, "kept": kept} {
		b.Run(name, func(b *testing.B) { benchmarkRequests(b, k, node, fh) })
	}
}

func benchmarkRequests(b *testing.B, k *kernel, node, fh uint64) {
	data := make([]byte, 4096)
	k.want(k.write(node, fh, data), 0)
	dir := as[gofuse.OpenOut](k, k.want(send(k, opOpendir, 1, &gofuse.OpenIn{}), 0)).Fh
	buf := make([]byte, 1<<20)
	round := func(b *testing.B, msg []byte) {
		h := (*gofuse.InHeader)(ptr(msg))
		b.ReportAllocs()
		for b.Loop() {
			k.unique += 2
			h.Unique = k.unique
			if _, err := unix.Write(k.fd, msg); err != nil {
				b.Fatal(err)
			}
			_, err := unix.Read(k.fd, buf)
			for err == unix.EINTR {
				_, err = unix.Read(k.fd, buf)
			}
			if err != nil {
				b.Fatal(err)
			}
			if s := (*gofuse.OutHeader)(ptr(buf)).Status; s != 0 && s != -int32(unix.ENOSYS) {
				b.Fatalf("status %d", s)
			}
		}
	}
	for _, c := range []struct {
		name string
		msg  []byte
	}{
		{"nothing", message(opPoll, 1, &gofuse.InHeader{})},
		{"read", message(opRead, node, &gofuse.ReadIn{Fh: fh, Size: 4096})},
		{"write", message(opWrite, node, &gofuse.WriteIn{Fh: fh, Size: 4096}, data)},
		{"getattr", message(opGetattr, node, &gofuse.GetAttrIn{})},
		{"lookup", message(opLookup, 1, &gofuse.InHeader{}, cstr("f"))},
		{"access", message(opAccess, 1, &gofuse.AccessIn{Mask: 4})},
		{"flush", message(opFlush, node, &gofuse.FlushIn{Fh: fh})},
		{"setattr", message(opSetattr, node, &gofuse.SetAttrIn{SetAttrInCommon: gofuse.SetAttrInCommon{Valid: gofuse.FATTR_MODE, Mode: 0o644}})},
		{"readdirplus", message(opReaddirplus, 1, &gofuse.ReadIn{Fh: dir, Size: 4096})},
	} {
		b.Run(c.name, func(b *testing.B) { round(b, c.msg) })
	}
}

// BenchmarkRecord is what the record of one request costs, without what is
// recorded: a slot to read into, its copy in a small one, the reply, the end.
//
//	go test -bench Record -benchmem ./fuse
func BenchmarkRecord(b *testing.B) {
	plain := play(b, Options{}, nil)
	kept := plain.successor(leave(b).process())
	out := make([]byte, outHeader+128)
	for _, c := range []struct {
		name string
		k    *kernel
		op   uint32
		size int
	}{
		{"lookup/plain", plain, opLookup, 48}, {"lookup/kept", kept, opLookup, 48},
		{"write/plain", plain, opWrite, 80 + 4096}, {"write/kept", kept, opWrite, 80 + 4096},
		{"read/plain", plain, opRead, 80}, {"read/kept", kept, opRead, 80},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := c.k.s
			msg := make([]byte, c.size)
			h := (*gofuse.InHeader)(ptr(msg))
			h.Length, h.Opcode = uint32(c.size), c.op
			b.ReportAllocs()
			for b.Loop() {
				big := s.slots.big()
				if big.entry != nil {
					big.entry.BeginRead(big.mem, requestAt)
				}
				in := big.mem[requestAt:][:copy(big.mem[requestAt:], msg)]
				r := s.admit(big, in)
				if r.slot.entry != nil {
					r.record([][]byte{out})
				}
				r.end()
				s.giveBack(r)
			}
		})
	}
}
