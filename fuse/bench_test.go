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
func BenchmarkRequest(b *testing.B) {
	k := play(b, Options{}, nil)
	node, fh := k.create("f")
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
		{"readdirplus", message(opReaddirplus, 1, &gofuse.ReadIn{Fh: dir, Size: 4096})},
	} {
		b.Run(c.name, func(b *testing.B) { round(b, c.msg) })
	}
}
