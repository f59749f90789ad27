package graph

import (
	"slices"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator"
)

// Dump is a live graph in `holdfast dump`.
type Dump struct {
	Generation uint64 `json:"generation"`
	Current    bool   `json:"current"`
	Phase      string `json:"phase"`
	// Requests are running in it, Bound open files are served by it.
	Requests int64            `json:"requests"`
	Bound    int              `json:"bound"`
	VolumeID uuid.UUID        `json:"volume_id"`
	Volfile  string           `json:"volfile"`
	Volumes  []TranslatorDump `json:"volumes"` // top first
}

// TranslatorDump is one translator of a graph.
type TranslatorDump struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`
	Options map[string]string `json:"options,omitempty"` // that were given
	State   any               `json:"state,omitempty"`   // what xlator.Dumper says
}

// Dump returns all graphs that exist, the oldest first.
func (m *Manager) Dump() []Dump {
	m.mu.Lock()
	var live []*Graph
	for _, g := range m.live {
		live = append(live, g)
	}
	m.mu.Unlock()
	slices.SortFunc(live, func(a, b *Graph) int { return int(a.Generation) - int(b.Generation) })
	cur := m.cur.Load()
	all := []Dump{}
	for _, g := range live {
		all = append(all, g.dump(g == cur))
	}
	return all
}

func (g *Graph) dump(current bool) Dump {
	f := g.File()
	d := Dump{
		Generation: g.Generation, Current: current, Phase: g.Phase().Name().String(),
		Requests: g.Running(), Bound: g.Bound(), VolumeID: g.VolumeID, Volfile: f.Name,
	}
	g.each(func(n *node) {
		t := TranslatorDump{Name: n.name, Type: n.typ.Name, Options: map[string]string{}}
		// From the file, which is replaced whole: a node's own options are the loop's.
		if v := f.Lookup(n.name); v != nil {
			for _, o := range v.Options {
				t.Options[o.Key] = o.Value
			}
		}
		if x, ok := n.x.(xlator.Dumper); ok {
			t.State = x.Dump()
		}
		d.Volumes = append(d.Volumes, t)
	})
	return d
}
