package volfile

import (
	"reflect"
	"testing"
)

const diffBase = `volume p
 type storage/posix
 option directory /d
end-volume
volume q
 type storage/posix
end-volume
volume r
 type cluster/replicate
 option o 1
 subvolumes p q
end-volume
`

func TestDiffKinds(t *testing.T) {
	for _, c := range []struct {
		name, src, reason string
		kind              DifferenceKind
	}{
		{"same text", diffBase, "", Same},
		{"layout and order of unrelated volumes", `volume q type storage/posix end-volume # c
volume p type storage/posix option "directory" "/d" end-volume volume r type cluster/replicate subvolumes p q option o 1 end-volume`, "", Same},
		{"value", "volume p type storage/posix option directory /e end-volume volume q type storage/posix end-volume volume r type cluster/replicate option o 1 subvolumes p q end-volume",
			"p: option directory /d -> /e", OptionsOnly},
		{"added and removed", "volume p type storage/posix option x-password secret end-volume volume q type storage/posix end-volume volume r type cluster/replicate option o 1 subvolumes p q end-volume",
			"p: option directory /d -> (not set), and 1 more", OptionsOnly},
		{"volume added", diffBase + "volume s type t subvolumes r end-volume", "volume s (t) was added", Topology},
		{"volume removed", "volume p type storage/posix end-volume", "volume q (storage/posix) was removed", Topology},
		{"type", "volume p type storage/bd end-volume volume q type storage/posix end-volume volume r type cluster/replicate subvolumes p q end-volume",
			"volume p is storage/bd, was storage/posix", Topology},
		{"order of children", "volume p type storage/posix end-volume volume q type storage/posix end-volume volume r type cluster/replicate subvolumes q p end-volume",
			`volume r has subvolumes ["q" "p"], had ["p" "q"]`, Topology},
		{"top", "volume p type storage/posix end-volume volume q type storage/posix end-volume volume r type cluster/replicate subvolumes p q end-volume volume s type t end-volume",
			"volume s (t) was added", Topology},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Diff(mustParse(t, diffBase), mustParse(t, c.src))
			if d.Kind != c.kind || d.Reason != c.reason {
				t.Errorf("got %v: %s", d.Kind, d.Reason)
			}
		})
	}
}

func TestDiffListsOptionsOfEachVolume(t *testing.T) {
	old := mustParse(t, "volume a type t option x 1 option y 2 option z 3 end-volume volume b type t subvolumes a end-volume")
	new := mustParse(t, "volume a type t\noption z 3 option y 4\noption w 5 end-volume volume b type t subvolumes a option p 1 end-volume")
	want := []VolumeChange{
		{"a", []OptionChange{
			{Key: "w", New: "5", InNew: true, Pos: Pos{3}},
			{Key: "x", Old: "1", InOld: true},
			{Key: "y", Old: "2", New: "4", InOld: true, InNew: true, Pos: Pos{2}},
		}},
		{"b", []OptionChange{{Key: "p", New: "1", InNew: true, Pos: Pos{3}}}},
	}
	if d := Diff(old, new); d.Kind != OptionsOnly || !reflect.DeepEqual(d.Volumes, want) {
		t.Errorf("%+v", d)
	}
}

func TestDiffSeesAnotherTop(t *testing.T) {
	d := Diff(mustParse(t, "volume a type t end-volume volume b type t end-volume"),
		mustParse(t, "volume b type t end-volume volume a type t end-volume"))
	if d.Kind != Topology || d.Reason != "the top is volume a, was b" {
		t.Errorf("%+v", d)
	}
}

func TestDiffOfGeneratedVolfiles(t *testing.T) {
	all := samples(t)
	get := func(name string) *File {
		f, err := Parse(name, all["testdata/glusterfs-10.3/"+name])
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if d := Diff(get("one.defaults.client.vol"), get("one.tuned-options.client.vol")); d.Kind != OptionsOnly || len(d.Volumes) != 3 {
		t.Errorf("tuned options: %+v", d)
	}
	if d := Diff(get("one.defaults.client.vol"), get("one.all-perf-on.client.vol")); d.Kind != Topology {
		t.Errorf("performance translators: %+v", d)
	}
}
