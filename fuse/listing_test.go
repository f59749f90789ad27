package fuse

import (
	"bytes"
	"fmt"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable/state"
)

// listPlus lists the root to its end by READDIRPLUS of that size, and returns how
// often it was told which name, and which node's lookup was counted.
func (k *kernel) listPlus(size uint32) (names map[string]int, lookups map[uint64]uint64) {
	k.Helper()
	fh := as[gofuse.OpenOut](k, k.want(send(k, opOpendir, 1, &gofuse.OpenIn{}), 0)).Fh
	names, lookups = map[string]int{}, map[uint64]uint64{}
	for off := uint64(0); ; {
		body := k.want(send(k, opReaddirplus, 1, &gofuse.ReadIn{Fh: fh, Offset: off, Size: size}), 0)
		if len(body) == 0 {
			return names, lookups
		}
		entries, outs, err := gofuse.ParseDirLookupEntries(body)
		if err != nil {
			k.Fatal(err)
		}
		for i, e := range entries {
			off = e.Off
			names[e.Name]++
			switch dot := e.Name == "." || e.Name == ".."; {
			case dot && outs[i].NodeId != 0:
				k.Errorf("%s has nodeid %d", e.Name, outs[i].NodeId)
			case !dot && (outs[i].NodeId == 0 || outs[i].Attr.Ino != e.Ino):
				k.Errorf("%s: %+v", e.Name, outs[i])
			case !dot:
				lookups[outs[i].NodeId]++
			}
		}
	}
}

func TestListingCountsWhatItDelivers(t *testing.T) {
	listingCounts(t, play(t, Options{}, nil), 4096)
}

// TestListingRecordsWhatItCounts: however much is asked for, all is listed. Of a
// megabyte more fits into the reply than into the record.
func TestListingRecordsWhatItCounts(t *testing.T) {
	for _, size := range []uint32{1024, 4096, 32 << 10, 128 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := leave(t)
			k := play(t, Options{}, nil).successor(l.process())
			listingCounts(t, k, size)
			l.nothingLeft(k)
		})
	}
}

// listingCounts lists many files and has the kernel forget what it was told.
func listingCounts(t *testing.T, k *kernel, size uint32) {
	t.Helper()
	const files = 300
	for i := range files {
		node, fh := k.create(string(rune('a'+i%26)) + string(rune('a'+i/26)))
		k.want(send(k, opRelease, node, &gofuse.ReleaseIn{Fh: fh}), 0)
		send(k, opForget, node, &gofuse.ForgetIn{Nlookup: 1})
	}
	k.await("the forgets", func() bool { return k.table.Status().Nodes == 1 })
	names, lookups := k.listPlus(size)
	if len(names) != files+2 || len(lookups) != files {
		t.Errorf("%d names, %d nodes", len(names), len(lookups))
	}
	if s := k.table.Status(); s.Nodes != files+1 {
		t.Errorf("%d nodes known, %d delivered", s.Nodes, files)
	}
	type batch struct {
		batchForgetIn
		ones [files]forgetOne
	}
	b := batch{batchForgetIn: batchForgetIn{Count: files}}
	i := 0
	for node, n := range lookups {
		b.ones[i] = forgetOne{node, n}
		i++
	}
	send(k, opBatchForget, 0, &b)
	k.await("the forgets", func() bool { return k.table.Status().Nodes == 1 })
}

// listing is a READDIRPLUS that was admitted, and a record of what it counts.
func (l *left) listing(order, unique uint64, fh uint64) (e *state.Entry, slot []byte, c *state.Counts) {
	l.Helper()
	msg := message(opReaddirplus, 1, &gofuse.ReadIn{Fh: fh, Size: 4096})
	(*gofuse.InHeader)(ptr(msg)).Unique = unique
	slot = l.slot(smallSize, 16)
	copy(slot[entrySize:], msg)
	e = state.EntryOf(slot)
	e.Admit(order, entrySize, len(msg))
	c = &state.Counts{}
	c.Begin(slot, entrySize+len(msg), smallSize-4096-outHeader)
	return e, slot, c
}

// TestListingCarriedOutAgainIsCountedOnce: the process died when it had counted
// two of three files.
func TestListingCarriedOutAgainIsCountedOnce(t *testing.T) {
	before := play(t, Options{}, nil)
	var nodes []uint64
	for _, name := range []string{"a", "b", "c"} {
		node, _ := before.create(name)
		nodes = append(nodes, node)
	}
	fh := as[gofuse.OpenOut](before, before.want(send(before, opOpendir, 1, &gofuse.OpenIn{}), 0)).Fh
	before.want(send(before, opReaddirplus, 1, &gofuse.ReadIn{Fh: fh, Size: 4096}), 0)
	l := leave(t)
	_, _, c := l.listing(1, 5000, fh)
	c.SetCounted(nodes[0], 2) // by the listing above, for this test
	c.SetCounted(nodes[1], 2)
	c.SetCounted(nodes[2], 3) // it was about to
	k := before.successor(l.process())
	k.want(5000, 0)
	l.nothingLeft(k)
	for i, want := range []uint64{2, 2, 3} {
		if n := k.lookups(nodes[i]); n != want {
			t.Errorf("file %d: %d lookups, the kernel knows of %d", i, n, want)
		}
	}
}

// TestListingThatWasAnsweredIsAnsweredAgain: the kernel may have had the reply, or
// not; what was counted stays.
func TestListingThatWasAnsweredIsAnsweredAgain(t *testing.T) {
	before := play(t, Options{}, nil)
	node, _ := before.create("f")
	fh := as[gofuse.OpenOut](before, before.want(send(before, opOpendir, 1, &gofuse.OpenIn{}), 0)).Fh
	body := before.want(send(before, opReaddirplus, 1, &gofuse.ReadIn{Fh: fh, Size: 4096}), 0)
	l := leave(t)
	e, slot, c := l.listing(1, 5000, fh)
	c.SetCounted(node, 2)
	at := smallSize - 4096 - outHeader
	e.SetReplyAt(at, copy(slot[at:], reply(5000, 0, body)))
	k := before.successor(l.process())
	if again := k.want(5000, 0); !bytes.Equal(again, body) {
		t.Errorf("another reply: %x", again)
	}
	l.nothingLeft(k)
	if n := k.lookups(node); n != 2 || k.recovered.Answered != 1 {
		t.Errorf("%d lookups, the kernel knows of 2; %+v", n, k.recovered)
	}
}
