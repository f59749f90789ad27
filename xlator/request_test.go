package xlator

import (
	"reflect"
	"testing"
)

func TestRequestInodeKnowsEveryRequest(t *testing.T) {
	table := NewInodeTable(&Slots{})
	inode := table.Get(NewGFID(), TypeRegular)
	fd := table.NewFD(inode, 0, 1)
	fops := reflect.TypeFor[Fops]()
	for m := range fops.Methods() {
		if m.Name == "Release" || m.Name == "Ipc" {
			continue
		}
		req := reflect.New(m.Type.In(1).Elem())
		if got := RequestInode(req.Interface()); got != nil {
			t.Errorf("%s: an empty request is about %v", m.Name, got)
		}
		for i := range req.Elem().NumField() {
			fill(req.Elem().Field(i), inode, fd)
		}
		if got := RequestInode(req.Interface()); got != inode {
			t.Errorf("%s: RequestInode does not know the request", m.Name)
		}
	}
	if RequestInode(&IpcReq{}) != nil || RequestInode(nil) != nil {
		t.Error("there is no inode in an ipc")
	}
}

func fill(f reflect.Value, inode *Inode, fd *FD) {
	switch {
	case f.Type() == reflect.TypeFor[*Inode]():
		f.Set(reflect.ValueOf(inode))
	case f.Type() == reflect.TypeFor[*FD]():
		f.Set(reflect.ValueOf(fd))
	case f.Kind() == reflect.Struct:
		for i := range f.NumField() {
			fill(f.Field(i), inode, fd)
		}
	}
}

func TestFopSetNames(t *testing.T) {
	for text, want := range map[string]FopSet{
		"": AllFops, " ": AllFops, "writev": 1 << FopWritev, "write, READ": 1<<FopWritev | 1<<FopReadv,
		"creat": 1 << FopCreate, "copyfilerange,lk": 1<<FopCopyFileRange | 1<<FopLk,
	} {
		if got, err := ParseFopSet(text); err != nil || got != want {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
	for _, text := range []string{"wrote", "write,", ",", "write read"} {
		if _, err := ParseFopSet(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	for f := range FopCount {
		if !AllFops.Has(f) {
			t.Errorf("AllFops lacks %s", f)
		}
	}
}

func TestFilterByGFID(t *testing.T) {
	table := NewInodeTable(&Slots{})
	a, b := table.Get(NewGFID(), TypeRegular), table.Get(NewGFID(), TypeRegular)
	gfids, err := ParseGFIDs(a.GFID().String() + " , " + RootGFID.String())
	if err != nil {
		t.Fatal(err)
	}
	f := Filter{Fops: 1<<FopStat | 1<<FopLookup, GFIDs: gfids}
	for _, c := range []struct {
		fop  Fop
		req  any
		want bool
	}{
		{FopStat, &StatReq{a}, true},
		{FopStat, &StatReq{b}, false},
		{FopTruncate, &TruncateReq{Inode: a}, false},
		{FopLookup, &LookupReq{GFID: RootGFID}, true},
		{FopLookup, &LookupReq{GFID: b.GFID()}, false},
		{FopLookup, &LookupReq{Parent: a, Name: "x"}, true},
	} {
		if got := f.Match(c.fop, c.req); got != c.want {
			t.Errorf("%s %+v: %v", c.fop, c.req, got)
		}
	}
	if _, err := ParseGFIDs("nonsense"); err == nil {
		t.Error("nonsense is a gfid")
	}
}
