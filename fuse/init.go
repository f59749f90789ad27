package fuse

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// wanted is what we take beside go-fuse's own choice, if the kernel offers it.
//
// HANDLE_KILLPRIV_V2 is worth most: without it each write(2) asks for
// security.capability first. ATOMIC_O_TRUNC saves a request per open with
// O_TRUNC, which we carry out. DONT_MASK hands us the umask, which must not
// apply where the directory has a default ACL. DIRECT_IO_ALLOW_MMAP lets files
// of a direct-io mount be mapped. CACHE_SYMLINKS is safe because the target of
// a symbolic link never changes.
const wanted = gofuse.CAP_HANDLE_KILLPRIV_V2 |
	gofuse.CAP_READDIRPLUS_AUTO |
	gofuse.CAP_ASYNC_DIO |
	gofuse.CAP_ATOMIC_O_TRUNC |
	gofuse.CAP_DONT_MASK |
	gofuse.CAP_EXPORT_SUPPORT |
	gofuse.CAP_POSIX_LOCKS |
	gofuse.CAP_FLOCK_LOCKS |
	gofuse.CAP_DIRECT_IO_ALLOW_MMAP |
	gofuse.CAP_SETXATTR_EXT |
	gofuse.CAP_CACHE_SYMLINKS |
	gofuse.CAP_HAS_EXPIRE_ONLY |
	gofuse.CAP_HAS_RESEND

// unwanted is what go-fuse would take. NO_OPEN_SUPPORT and its like only say
// that we may answer ENOSYS to an open, which we never do. Passthrough and the
// write-back cache do not go with more than one client.
const unwanted = gofuse.CAP_NO_OPEN_SUPPORT | gofuse.CAP_NO_OPENDIR_SUPPORT | gofuse.CAP_PASSTHROUGH | gofuse.CAP_WRITEBACK_CACHE

// mountOptions are those of every ProtocolServer of a mount: its answer to INIT
// depends on them.
func mountOptions(o *Options) *gofuse.MountOptions {
	return &gofuse.MountOptions{
		MaxWrite:             o.MaxWrite,
		MaxBackground:        o.MaxBackground,
		EnableAcl:            o.ACL,
		ExtraCapabilities:    wanted,
		DisabledCapabilities: unwanted,
		Logger:               slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
}

// handshake reads INIT, answers it and keeps both.
func (d *Device) handshake(opts *Options) error {
	in := make([]byte, 2*pageSize) // the least that the kernel takes
	var n int
	for {
		var err error
		n, err = unix.Read(d.FD, in)
		if err == nil {
			break
		}
		if err != unix.EINTR && err != unix.EAGAIN && err != unix.ENOENT {
			return fmt.Errorf("read INIT: %w", err)
		}
	}
	if n < int(unsafe.Sizeof(gofuse.InitIn{})) || (*gofuse.InHeader)(unsafe.Pointer(&in[0])).Opcode != opInit {
		return errors.New("the kernel's first request is not INIT")
	}
	d.InitIn = bytes.Clone(in[:n])
	out, err := answerInit(gofuse.NewProtocolServer(gofuse.NewDefaultRawFileSystem(), mountOptions(opts)), d.InitIn)
	if err != nil {
		return err
	}
	d.InitOut = out
	if _, err := unix.Write(d.FD, out); err != nil {
		return fmt.Errorf("answer INIT: %w", err)
	}
	return nil
}

// answerInit has a ProtocolServer answer INIT.
func answerInit(server *gofuse.ProtocolServer, in []byte) ([]byte, error) {
	buf := make([]uint64, (outHeader+int(unsafe.Sizeof(gofuse.InitOut{})))/8)
	out := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), len(buf)*8)
	n, status := server.HandleRequest([][]byte{in}, [][]byte{out})
	if status != gofuse.OK || n != len(out) {
		return nil, fmt.Errorf("INIT: cannot speak with this kernel (%v)", status)
	}
	h := (*gofuse.OutHeader)(unsafe.Pointer(&out[0]))
	if h.Status != 0 {
		return nil, fmt.Errorf("INIT: cannot speak with this kernel (%v)", gofuse.Status(-h.Status))
	}
	// go-fuse makes a zero a one; without passthrough nothing may be stacked
	// below, and the kernel's own limit stays whole.
	initOf(out).MaxStackDepth = 0
	return out, nil
}

func initOf(out []byte) *gofuse.InitOut { return (*gofuse.InitOut)(unsafe.Pointer(&out[outHeader])) }

// agree takes over what was said at INIT, perhaps by another version of the
// program with other options: what was agreed then holds for the life of the
// mount, and a session that cannot honour it refuses.
func (s *Session) agree(d *Device) error {
	if len(d.InitOut) != outHeader+int(unsafe.Sizeof(gofuse.InitOut{})) || len(d.InitIn) < int(unsafe.Sizeof(gofuse.InitIn{})) {
		return fmt.Errorf("INIT of %d bytes, answered by %d", len(d.InitIn), len(d.InitOut))
	}
	agreed := initOf(bytes.Clone(d.InitOut))
	s.caps = agreed.Flags64()
	if agreed.MaxWrite < pageSize || agreed.MaxWrite > defaultMaxWrite {
		return fmt.Errorf("the mount was made with max-write %d; this version serves %d to %d", agreed.MaxWrite, pageSize, defaultMaxWrite)
	}
	s.opts.MaxWrite, s.opts.MaxBackground = int(agreed.MaxWrite), int(agreed.MaxBackground)
	s.opts.ACL = s.opts.ACL || s.caps&gofuse.CAP_POSIX_ACL != 0
	// The decoders see a kernel that offers what was agreed, and no more.
	s.initIn = bytes.Clone(d.InitIn)
	offer := (*gofuse.InitIn)(unsafe.Pointer(&s.initIn[0]))
	offer.Flags, offer.Flags2 = uint32(s.caps), uint32(s.caps>>32)
	out, err := s.prime(newDecoder(s))
	if err != nil {
		return err
	}
	if have := initOf(out).Flags64(); have != s.caps {
		return fmt.Errorf("the mount was made with features that this version does not serve: %v", featuresOf(s.caps&^have))
	}
	return nil
}

// prime tells a decoder what was agreed at INIT and returns its answer.
func (s *Session) prime(d *decoder) ([]byte, error) { return answerInit(d.server, s.initIn) }

// capNames are the features that people ask about.
var capNames = []struct {
	flag uint64
	name string
}{
	{gofuse.CAP_ASYNC_READ, "async_read"}, {gofuse.CAP_POSIX_LOCKS, "posix_locks"}, {gofuse.CAP_FLOCK_LOCKS, "flock_locks"},
	{gofuse.CAP_ATOMIC_O_TRUNC, "atomic_o_trunc"}, {gofuse.CAP_EXPORT_SUPPORT, "export_support"}, {gofuse.CAP_BIG_WRITES, "big_writes"},
	{gofuse.CAP_DONT_MASK, "dont_mask"}, {gofuse.CAP_AUTO_INVAL_DATA, "auto_inval_data"}, {gofuse.CAP_READDIRPLUS, "readdirplus"},
	{gofuse.CAP_READDIRPLUS_AUTO, "readdirplus_auto"}, {gofuse.CAP_ASYNC_DIO, "async_dio"}, {gofuse.CAP_WRITEBACK_CACHE, "writeback_cache"},
	{gofuse.CAP_NO_OPEN_SUPPORT, "no_open_support"}, {gofuse.CAP_PARALLEL_DIROPS, "parallel_dirops"}, {gofuse.CAP_POSIX_ACL, "posix_acl"},
	{gofuse.CAP_MAX_PAGES, "max_pages"}, {gofuse.CAP_CACHE_SYMLINKS, "cache_symlinks"}, {gofuse.CAP_HANDLE_KILLPRIV_V2, "handle_killpriv_v2"},
	{gofuse.CAP_SETXATTR_EXT, "setxattr_ext"}, {gofuse.CAP_HAS_EXPIRE_ONLY, "expire_only"}, {gofuse.CAP_DIRECT_IO_ALLOW_MMAP, "direct_io_allow_mmap"},
	{gofuse.CAP_PASSTHROUGH, "passthrough"}, {gofuse.CAP_HAS_RESEND, "resend"},
}

// Features lists what kernel and session have agreed on at INIT.
func (s *Session) Features() []string { return featuresOf(s.caps) }

func featuresOf(caps uint64) []string {
	var names []string
	for _, c := range capNames {
		if caps&c.flag != 0 {
			names = append(names, c.name)
			caps &^= c.flag
		}
	}
	if caps &^= gofuse.CAP_FILE_OPS | gofuse.CAP_INIT_EXT | gofuse.CAP_ALLOW_IDMAP; caps != 0 {
		names = append(names, fmt.Sprintf("%#x", caps))
	}
	return names
}
