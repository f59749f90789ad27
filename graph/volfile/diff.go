package volfile

import (
	"fmt"
	"slices"
	"sort"
)

// DifferenceKind is how far apart two volfiles are.
type DifferenceKind uint8

// Kinds of difference.
const (
	// Same: whoever builds a graph from them gets the same.
	Same DifferenceKind = iota
	// OptionsOnly: the same volumes in the same places, with other options.
	OptionsOnly
	// Topology: another graph.
	Topology
)

func (k DifferenceKind) String() string {
	return [...]string{"same", "options only", "topology"}[k]
}

// Difference says what Diff found.
type Difference struct {
	Kind DifferenceKind
	// Volumes whose options differ, in the order of the new file (OptionsOnly).
	Volumes []VolumeChange
	// Reason says in words what differs; empty for Same.
	Reason string
}

// VolumeChange is what differs in one volume.
type VolumeChange struct {
	Volume string
	// Options that differ, by key.
	Options []OptionChange
}

// OptionChange is one option before and after.
type OptionChange struct {
	Key      string
	Old, New string
	// InOld and InNew say whether the file gives it at all.
	InOld, InNew bool
	// Pos is its place in the new file; line 0 where it is no longer there.
	Pos
}

func (c OptionChange) String() string {
	o := &Option{Key: c.Key}
	show := func(in bool, value string) string {
		if !in {
			return "(not set)"
		}
		o.Value = value
		return o.shown()
	}
	return fmt.Sprintf("%s %s -> %s", c.Key, show(c.InOld, c.Old), show(c.InNew, c.New))
}

// Diff compares what two files mean. The order of options, of unrelated volumes
// and how the text is laid out do not matter; the order of children does.
// Values are compared as text: on and yes differ here.
func Diff(old, new *File) Difference {
	if why := topology(old, new); why != "" {
		return Difference{Kind: Topology, Reason: why}
	}
	d := Difference{}
	n := 0
	for _, v := range new.Volumes {
		if cs := optionChanges(old.Lookup(v.Name), v); len(cs) > 0 {
			d.Volumes = append(d.Volumes, VolumeChange{v.Name, cs})
			n += len(cs)
		}
	}
	if n > 0 {
		d.Kind = OptionsOnly
		first := d.Volumes[0]
		d.Reason = fmt.Sprintf("%s: option %s", first.Volume, first.Options[0])
		if n > 1 {
			d.Reason += fmt.Sprintf(", and %d more", n-1)
		}
	}
	return d
}

// topology says how the shapes of two graphs differ, or "".
func topology(old, new *File) string {
	for _, v := range new.Volumes {
		o := old.Lookup(v.Name)
		switch {
		case o == nil:
			return fmt.Sprintf("volume %s (%s) was added", v.Name, v.Type)
		case o.Type != v.Type:
			return fmt.Sprintf("volume %s is %s, was %s", v.Name, v.Type, o.Type)
		}
	}
	for _, o := range old.Volumes {
		if new.Lookup(o.Name) == nil {
			return fmt.Sprintf("volume %s (%s) was removed", o.Name, o.Type)
		}
	}
	for _, v := range new.Volumes {
		if o := old.Lookup(v.Name); !slices.Equal(o.Subvolumes, v.Subvolumes) {
			return fmt.Sprintf("volume %s has subvolumes %q, had %q", v.Name, v.Subvolumes, o.Subvolumes)
		}
	}
	if o, n := old.Top(), new.Top(); o != nil && o.Name != n.Name {
		return fmt.Sprintf("the top is volume %s, was %s", n.Name, o.Name)
	}
	return ""
}

func optionChanges(old, new *Volume) []OptionChange {
	was := map[string]string{}
	for _, o := range old.Options {
		was[o.Key] = o.Value
	}
	var cs []OptionChange
	for _, o := range new.Options {
		value, ok := was[o.Key]
		if !ok || value != o.Value {
			cs = append(cs, OptionChange{Key: o.Key, Old: value, New: o.Value, InOld: ok, InNew: true, Pos: o.Pos})
		}
		delete(was, o.Key)
	}
	for key, value := range was {
		cs = append(cs, OptionChange{Key: key, Old: value, InOld: true})
	}
	sort.Slice(cs, func(i, j int) bool { return cs[i].Key < cs[j].Key })
	return cs
}
