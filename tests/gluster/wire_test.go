package gluster_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/lab/relay"
	"github.com/holdfast/holdfast/tests/mnt"
)

// call is what a record of the client asks for, and with what arguments.
func call(record []byte) (c relay.Call, args []byte) {
	be := binary.BigEndian
	if len(record) < 44 || be.Uint32(record[8:]) != 0 {
		return 0, nil
	}
	credential := int(be.Uint32(record[32:])+3) &^ 3
	return relay.Of(be.Uint32(record[16:]), be.Uint32(record[24:])), record[min(36+credential+8, len(record)):]
}

// TestBrickIsNeverSentWhatKillsIt: a READ of file number -1, and a process's uuid that
// was used before, crash a 10.3 brick. Not even a brick that gives out such numbers
// gets them back.
func TestBrickIsNeverSentWhatKillsIt(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	liar := newLiar(t, v.Bricks[0].Addr())
	named := regexp.MustCompile(`process-uuid\x00CTX_ID:([0-9a-f-]{36})-`)
	uuids, reads, lied := map[string]int{}, 0, 0
	var bad []string
	liar.mu.Lock()
	liar.hear = func(record []byte) {
		switch c, args := call(record); c {
		case relay.Setvolume:
			if m := named.FindSubmatch(record); m != nil {
				uuids[string(m[1])]++
			} else {
				bad = append(bad, "SETVOLUME without a uuid")
			}
		case relay.Readv, relay.Writev, relay.Flush, relay.Fstat, relay.Ftruncate, relay.Lk, relay.Readdirp:
			reads++
			// -2 is the number for any file, by its gfid.
			if fd := int64(binary.BigEndian.Uint64(args[16:])); fd < 0 && fd != -2 {
				bad = append(bad, fmt.Sprintf("%v of file number %d", c, fd))
			}
		}
	}
	liar.mu.Unlock()
	mount := func() *mnt.M {
		return mnt.Mount(t, writeVolfile(t, volfile("127.0.0.1", v.Bricks[0], fmt.Sprintf("    option remote-port %d\n", liar.port()))))
	}
	m := mount()
	mount().Umount() // another process
	ps := load(t, m.Dir, "reader", "locker", "truncater")
	for range 4 {
		done := ops(ps)
		liar.cut()
		eventually(t, 30*time.Second, "the workers go on", func() bool { working(t, ps); return ops(ps) > done+60 })
	}
	finish(t, ps)

	file := filepath.Join(m.Dir, "f")
	ok(t, os.WriteFile(file, []byte("x"), 0o644))
	for _, number := range []int64{-1, -2, math.MinInt64} {
		liar.mu.Lock()
		liar.reply = func(proc uint32, record []byte) {
			// The number follows a dictionary that is not there.
			if proc == relay.Open.Procedure() && len(record) == results+8+12+8 {
				binary.BigEndian.PutUint64(record[results+20:], uint64(number))
				lied++
			}
		}
		liar.mu.Unlock()
		if b, err := os.ReadFile(file); !errors.Is(err, unix.EIO) {
			t.Errorf("a file with the number %d: %q, %v", number, b, err)
		}
	}
	liar.mu.Lock()
	defer liar.mu.Unlock()
	liar.reply = nil
	for uuid, n := range uuids {
		if n != 1 {
			t.Errorf("%s was used %d times", uuid, n)
		}
	}
	t.Logf("%d uuids, %d fops with a number, %d lies", len(uuids), reads, lied)
	if len(uuids) < 6 || reads < 100 || lied < 3 {
		t.Error("too little was seen")
	}
	for _, b := range bad {
		t.Error(b)
	}
}
