package fuse

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// kernel plays the kernel's side of a session over a socket pair, for what a
// real kernel does rarely or never. Everything else is tested on real mounts.
type kernel struct {
	testing.TB
	fd     int
	opts   Options
	dev    *Device
	s      *Session
	table  *fdtable.Table
	served chan error
	unique uint64

	recovered *Recovered
}

// kernelInit is what a 6.x kernel offers.
func kernelInit() gofuse.InitIn {
	in := gofuse.InitIn{Major: 7, Minor: 45, MaxReadAhead: 128 << 10, Flags: ^uint32(0), Flags2: 0x3ff}
	in.Length, in.Opcode, in.Unique = uint32(unsafe.Sizeof(in)), opInit, 2
	return in
}

func bytesOf[T any](v *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) }

// play starts a session on storage/posix below features/locks; on top of that
// comes what on makes, if it is not nil.
func play(t testing.TB, opts Options, on func(xlator.Fops) xlator.Fops) *kernel {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.ACL = true
	opts.setDefaults()
	k := &kernel{TB: t, unique: 2, opts: opts}
	k.connect()
	in := kernelInit()
	if _, err := unix.Write(k.fd, bytesOf(&in)); err != nil {
		t.Fatal(err)
	}
	if err := k.dev.handshake(&opts); err != nil {
		t.Fatal(err)
	}
	if h, _ := k.reply(); h.Unique != 2 || h.Status != 0 {
		t.Fatalf("INIT: %+v", h)
	}
	k.graph(opts.Log, on)
	k.serve(state.Plain())
	return k
}

// connect makes both ends of a connection.
func (k *kernel) connect() {
	k.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		k.Fatal(err)
	}
	for _, fd := range pair {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 20})
	}
	unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	k.fd, k.dev = pair[0], &Device{FD: pair[1]}
}

// serve starts the session, which recovers first.
func (k *kernel) serve(mem *state.Memory) {
	k.Helper()
	k.Cleanup(func() { mem.Close() })
	var err error
	if k.s, err = NewSession(k.opts, k.dev, mem); err != nil {
		k.Fatal(err)
	}
	k.served = make(chan error, 1)
	k.recovered, err = k.s.Recover(k.table)
	if err != nil {
		k.Fatal(err)
	}
	go func() { k.served <- k.s.Serve(k.table) }()
	k.Cleanup(k.end)
}

// successor is a process that comes after k's, which has left mem. It has
// taken over what k has open.
func (k *kernel) successor(mem *state.Memory) *kernel {
	k.Helper()
	n := &kernel{TB: k.TB, opts: k.opts, table: k.table, unique: k.unique + 1000}
	n.connect()
	n.dev.InitIn, n.dev.InitOut = k.dev.InitIn, k.dev.InitOut
	n.serve(mem)
	return n
}

func (k *kernel) graph(log *slog.Logger, on func(xlator.Fops) xlator.Fops) {
	types := func(name string) *xlator.Type {
		if name != "debug/test" {
			return all.Find(name)
		}
		return &xlator.Type{Name: name, MinChildren: 1, MaxChildren: 1, New: func(e *xlator.Env) (xlator.Fops, error) {
			return on(e.Children[0]), nil
		}}
	}
	text := fmt.Sprintf("volume b\n type storage/posix\n option directory %s\nend-volume\nvolume l\n type features/locks\n subvolumes b\nend-volume\n", k.TempDir())
	if on != nil {
		text += "volume t\n type debug/test\n subvolumes l\nend-volume\n"
	}
	f, err := volfile.Parse("test.vol", []byte(text))
	if err != nil {
		k.Fatal(err)
	}
	k.table = fdtable.New(log, nil)
	mgr := graph.NewManager(graph.Config{Types: types, Refused: all.Refused, Pool: xlator.NewPool(), Errors: k.table, Log: log, Tenant: k.table, DrainTimeout: time.Second})
	k.table.Attach(mgr)
	if err := mgr.Start(context.Background(), f); err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() {
		mgr.Close()
		k.table.Close()
	})
}

// end closes the connection, as an unmount does, and waits for the session.
func (k *kernel) end() {
	if k.fd < 0 {
		return
	}
	unix.Close(k.fd)
	k.fd = -1
	select {
	case err := <-k.served:
		if err != nil {
			k.Errorf("serve: %v", err)
		}
	case <-time.After(20 * time.Second):
		k.Error("the session does not end")
	}
}

// send sends a request: its fixed part, which begins with an InHeader, and what
// follows. It returns its number.
func send[T any](k *kernel, op uint32, node uint64, fixed *T, rest ...[]byte) uint64 {
	k.Helper()
	k.unique += 2
	return sendAs(k, k.unique, op, node, fixed, rest...)
}

func sendAs[T any](k *kernel, unique uint64, op uint32, node uint64, fixed *T, rest ...[]byte) uint64 {
	k.Helper()
	msg := message(op, node, fixed, rest...)
	(*gofuse.InHeader)(ptr(msg)).Unique = unique
	if _, err := unix.Write(k.fd, msg); err != nil {
		k.Fatal(err)
	}
	return unique
}

// reply receives the next reply or notification.
func (k *kernel) reply() (gofuse.OutHeader, []byte) {
	k.Helper()
	buf := make([]byte, 2<<20)
	n, err := unix.Read(k.fd, buf)
	for err == unix.EINTR {
		n, err = unix.Read(k.fd, buf)
	}
	if err != nil || n < outHeader {
		k.Fatalf("no reply: %d bytes, %v", n, err)
	}
	h := *(*gofuse.OutHeader)(unsafe.Pointer(&buf[0]))
	if int(h.Length) != n {
		k.Fatalf("a reply of %d bytes says %d", n, h.Length)
	}
	return h, buf[outHeader:n]
}

// want receives the reply to that request with that errno.
func (k *kernel) want(unique uint64, e syscall.Errno) []byte {
	k.Helper()
	h, body := k.reply()
	if h.Unique != unique || h.Status != -int32(e) {
		k.Fatalf("reply to %d: %v; want one to %d: %v", h.Unique, syscall.Errno(-h.Status), unique, e)
	}
	return body
}

func as[T any](k *kernel, b []byte) *T {
	k.Helper()
	if len(b) < int(unsafe.Sizeof(*new(T))) {
		k.Fatalf("a reply of %d bytes is no %T", len(b), *new(T))
	}
	return (*T)(unsafe.Pointer(&b[0]))
}

func cstr(s string) []byte { return append([]byte(s), 0) }

// create makes a file in the root and opens it.
func (k *kernel) create(name string) (node, fh uint64) {
	k.Helper()
	u := send(k, opCreate, 1, &gofuse.CreateIn{Flags: unix.O_RDWR, Mode: 0o100644}, cstr(name))
	out := as[gofuse.CreateOut](k, k.want(u, 0))
	return out.NodeId, out.Fh
}

func (k *kernel) open(node uint64) uint64 {
	k.Helper()
	u := send(k, opOpen, node, &gofuse.OpenIn{Flags: unix.O_RDWR})
	return as[gofuse.OpenOut](k, k.want(u, 0)).Fh
}

func (k *kernel) lock(op uint32, node, fh, owner uint64, typ uint32) uint64 {
	k.Helper()
	return send(k, op, node, &gofuse.LkIn{Fh: fh, Owner: owner, Lk: gofuse.FileLock{End: 1<<63 - 1, Typ: typ}})
}

func (k *kernel) write(node, fh uint64, data []byte) uint64 {
	k.Helper()
	return send(k, opWrite, node, &gofuse.WriteIn{Fh: fh, Size: uint32(len(data))}, data)
}

// await waits until cond holds; what it looks at changes by itself.
func (k *kernel) await(what string, cond func() bool) {
	k.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			k.Fatalf("waited in vain for %s", what)
		}
	}
}

// gated holds fops back until its gate is opened.
type gated struct {
	xlator.Default
	arrived chan struct{}
	gate    chan struct{}
	once    sync.Once
}

func newGated() *gated {
	return &gated{arrived: make(chan struct{}, 10000), gate: make(chan struct{})}
}

func (g *gated) on(next xlator.Fops) xlator.Fops { g.Next = next; return g }

func (g *gated) openGate() { g.once.Do(func() { close(g.gate) }) }

func (g *gated) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	g.arrived <- struct{}{}
	<-g.gate
	return g.Next.Readv(ctx, r)
}

// message is a request as bytes, without a number.
func message[T any](op uint32, node uint64, fixed *T, rest ...[]byte) []byte {
	msg := append([]byte(nil), bytesOf(fixed)...)
	for _, b := range rest {
		msg = append(msg, b...)
	}
	h := (*gofuse.InHeader)(ptr(msg))
	h.Length, h.Opcode, h.NodeId, h.Pid = uint32(len(msg)), op, node, 4711
	return msg
}

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
