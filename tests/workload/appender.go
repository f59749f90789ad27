package workload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	appenders     = 4
	appendLimit   = 24 << 20 // of one log; then the next is begun
	appendHeader  = 24
	appendMagic   = 0x50504148 // "HAPP"
	appendPayload = 20_000
)

// appender appends records to one file through several descriptors at once:
// none may be lost, doubled, torn or out of its own order.
func appender(w *worker) error {
	w.begin()
	for round := 0; ; round++ {
		if err := w.appendRound(round); err != nil {
			return err
		}
		if !w.running() {
			return nil
		}
	}
}

// appendLog is one file that is appended to.
type appendLog struct {
	w    *worker
	path string

	mu      sync.Mutex
	in      *file             // guarded by mu
	scanned int64             // guarded by mu; whole records end here
	next    [appenders]uint32 // guarded by mu; the sequence expected per writer
}

func (w *worker) appendRound(round int) error {
	l := &appendLog{w: w, path: w.path("log%d", round)}
	var err error
	if l.in, err = w.open(l.path, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL); err != nil {
		return err
	}
	defer l.in.drop()
	var wg sync.WaitGroup
	errs := make([]error, appenders)
	counts := make([]uint32, appenders)
	for i := range appenders {
		r := rng(w.cfg.Seed, uint64(round*appenders+i))
		wg.Go(func() { counts[i], errs[i] = l.run(uint32(i), r) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.finish(counts); err != nil {
		return err
	}
	return w.unlink(l.path)
}

// run is one writer with a descriptor of its own.
func (l *appendLog) run(id uint32, r *rand.Rand) (n uint32, err error) {
	f, err := l.w.open(l.path, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return 0, err
	}
	defer func() { f.drop() }()
	for l.w.running() {
		if err := f.write(record(id, n, r.IntN(appendPayload))); err != nil {
			return n, err
		}
		n++
		switch r.IntN(40) {
		case 0, 1:
			size, err := l.scan(id, n)
			if err != nil || size > appendLimit {
				return n, err
			}
		case 2:
			if err := f.fsync(); err != nil {
				return n, err
			}
		case 3:
			if err := f.close(); err != nil {
				return n, err
			}
			if f, err = l.w.open(l.path, unix.O_WRONLY|unix.O_APPEND); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// record is: magic, writer, sequence, length of the payload, CRC of the
// payload, CRC of the header.
func record(id, seq uint32, payload int) []byte {
	b := make([]byte, appendHeader+payload)
	fill(b[appendHeader:], id, 0, uint64(seq))
	le := binary.LittleEndian
	for i, v := range []uint32{appendMagic, id, seq, uint32(payload), crc32.ChecksumIEEE(b[appendHeader:])} {
		le.PutUint32(b[4*i:], v)
	}
	le.PutUint32(b[20:], crc32.ChecksumIEEE(b[:20]))
	return b
}

// scan reads all records that came since the last scan. The writer that calls
// has n records written: they must be there, and whole, and so must be all
// before them. After them a record may be in the making.
func (l *appendLog) scan(id, n uint32) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.parse(); err != nil {
		return 0, err
	}
	if l.next[id] < n {
		return 0, fmt.Errorf("%s: record %d of writer %d was written, but up to %d only %d are whole; %s", l.in.name, n-1, id, l.scanned, l.next[id], l.evidence())
	}
	st, err := l.w.stat(l.path)
	if err == nil && st.Size < l.scanned {
		err = fmt.Errorf("%s: stat says %d bytes, but %d were read", l.in.name, st.Size, l.scanned)
	}
	return l.scanned, err
}

// evidence tells what stands where a record is missing: read through the kernel's
// pages, and past them.
func (l *appendLog) evidence() string {
	var said []string
	st, err := l.w.stat(l.path)
	said = append(said, fmt.Sprintf("stat says %d bytes, %v", st.Size, err))
	for _, how := range []struct {
		name  string
		flags int
	}{{"pages", 0}, {"direct", unix.O_DIRECT}} {
		f, err := l.w.open(l.path, unix.O_RDONLY|how.flags)
		if err != nil {
			return err.Error()
		}
		defer f.drop()
		b, free, err := aligned(1 << 20)
		if err != nil {
			return err.Error()
		}
		defer free()
		from := l.scanned &^ (directAlign - 1)
		n, err := f.preadSome(b, from)
		said = append(said, fmt.Sprintf("%s: %s, %v", how.name, whatStands(b[min(n, int(l.scanned-from)):n]), err))
	}
	return strings.Join(said, "; ")
}

// whatStands says what b is, where a record should begin.
func whatStands(b []byte) string {
	zeros := len(b) - len(bytes.TrimLeft(b, "\x00"))
	le := binary.LittleEndian
	for i := range max(len(b)-appendHeader, 0) {
		if r := b[i:]; le.Uint32(r) == appendMagic && le.Uint32(r[20:]) == crc32.ChecksumIEEE(r[:20]) {
			return fmt.Sprintf("%d bytes, %d of them zeros at first, a record's head (%d of writer %d, %d bytes) after %d", len(b), zeros, le.Uint32(r[8:]), le.Uint32(r[4:]), le.Uint32(r[12:]), i)
		}
	}
	return fmt.Sprintf("%d bytes, %d of them zeros at first, no record's head", len(b), zeros)
}

func (l *appendLog) parse() error {
	buf := make([]byte, 1<<20)
	for {
		n, err := l.in.preadSome(buf, l.scanned)
		if err != nil {
			return err
		}
		used, err := l.records(buf[:n])
		l.scanned += int64(used)
		if err != nil || used == 0 {
			return err
		}
	}
}

// records takes whole records off b; what is not whole (yet) is left.
func (l *appendLog) records(b []byte) (used int, err error) {
	le := binary.LittleEndian
	for {
		r := b[used:]
		if len(r) < appendHeader || le.Uint32(r) != appendMagic || le.Uint32(r[20:]) != crc32.ChecksumIEEE(r[:20]) {
			return used, nil
		}
		id, seq, n := le.Uint32(r[4:]), le.Uint32(r[8:]), int(le.Uint32(r[12:]))
		if len(r) < appendHeader+n || crc32.ChecksumIEEE(r[appendHeader:appendHeader+n]) != le.Uint32(r[16:]) {
			return used, nil
		}
		if id >= appenders || seq != l.next[id] {
			return used, fmt.Errorf("%s: at %d stands record %d of writer %d, want its %d", l.in.name, l.scanned+int64(used), seq, id, l.next[id])
		}
		l.next[id]++
		used += appendHeader + n
	}
}

// finish checks the log as a whole: from its beginning through a new
// descriptor, to its very end.
func (l *appendLog) finish(counts []uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in.drop()
	var err error
	if l.in, err = l.w.open(l.path, unix.O_RDONLY); err != nil {
		return err
	}
	l.scanned, l.next = 0, [appenders]uint32{}
	if err := l.parse(); err != nil {
		return err
	}
	for i, n := range counts {
		if l.next[i] != n {
			return fmt.Errorf("%s: writer %d wrote %d records, %d are there", l.in.name, i, n, l.next[i])
		}
	}
	st, err := l.in.stat()
	if err == nil && st.Size != l.scanned {
		err = fmt.Errorf("%s: %d bytes, but its records end at %d", l.in.name, st.Size, l.scanned)
	}
	return err
}
