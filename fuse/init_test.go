package fuse

import (
	"log/slog"
	"strings"
	"testing"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable/state"
)

// agreed is a Device of a mount that was made by somebody else, with an answer
// to INIT that change may alter.
func agreed(t *testing.T, change func(*gofuse.InitOut)) *Device {
	t.Helper()
	in := kernelInit()
	opts := Options{ACL: true, Log: slog.New(slog.DiscardHandler)}
	opts.setDefaults()
	d := &Device{FD: -1, InitIn: bytesOf(&in)}
	var err error
	if d.InitOut, err = answerInit(gofuse.NewProtocolServer(gofuse.NewDefaultRawFileSystem(), mountOptions(&opts)), d.InitIn); err != nil {
		t.Fatal(err)
	}
	change(initOf(d.InitOut))
	return d
}

func TestSessionHonoursWhatAnotherVersionAgreed(t *testing.T) {
	mem := state.Plain()
	defer mem.Close()
	d := agreed(t, func(o *gofuse.InitOut) {
		o.MaxWrite, o.MaxBackground = 128<<10, 7
		o.Flags &^= gofuse.CAP_SETXATTR_EXT | gofuse.CAP_DONT_MASK
	})
	s, err := NewSession(Options{MaxWrite: 1 << 20}, d, mem)
	if err != nil {
		t.Fatal(err)
	}
	defer s.slots.close()
	if s.opts.MaxWrite != 128<<10 || !s.opts.ACL {
		t.Errorf("%+v", s.opts)
	}
	dec := newDecoder(s)
	out, err := s.prime(dec)
	if err != nil {
		t.Fatal(err)
	}
	if f := initOf(out).Flags64(); f&(gofuse.CAP_SETXATTR_EXT|gofuse.CAP_DONT_MASK) != 0 {
		t.Errorf("a decoder takes features that were not agreed: %v", featuresOf(f))
	}
}

func TestSessionRefusesWhatItCannotServe(t *testing.T) {
	mem := state.Plain()
	defer mem.Close()
	for what, change := range map[string]func(*gofuse.InitOut){
		"passthrough":     func(o *gofuse.InitOut) { o.Flags2 |= gofuse.CAP_PASSTHROUGH >> 32 },
		"writeback_cache": func(o *gofuse.InitOut) { o.Flags |= gofuse.CAP_WRITEBACK_CACHE },
		"max-write":       func(o *gofuse.InitOut) { o.MaxWrite = 4 << 20 },
	} {
		_, err := NewSession(Options{}, agreed(t, change), mem)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	d := agreed(t, func(*gofuse.InitOut) {})
	d.InitOut = d.InitOut[:unsafe.Sizeof(gofuse.OutHeader{})]
	if _, err := NewSession(Options{}, d, mem); err == nil {
		t.Error("an INIT without an answer is served")
	}
}
