package graph

import (
	"fmt"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

// change is new values for one translator.
type change struct {
	n    *node
	opts xlator.Values
}

// liveChanges returns what has to be reconfigured to get from the graph's
// volfile to f, or ok == false when that needs a new graph.
func (g *Graph) liveChanges(f *volfile.File, d volfile.Difference) (changes []change, ok bool, err error) {
	for _, vc := range d.Volumes {
		n := g.find(vc.Volume)
		if n == nil {
			continue // a volume that is not below the top
		}
		effective := false
		for _, oc := range vc.Options {
			decl, known := n.typ.FindOption(oc.Key)
			if !known || decl.Ignored {
				continue
			}
			if !decl.Live {
				return nil, false, nil
			}
			effective = true
		}
		if !effective {
			continue
		}
		if _, can := n.x.(xlator.Reconfigurer); !can {
			return nil, false, nil
		}
		opts, _, err := parseOptions(f, f.Lookup(vc.Volume), n.typ)
		if err != nil {
			return nil, false, err
		}
		changes = append(changes, change{n, opts})
	}
	return changes, true, nil
}

func (g *Graph) find(volume string) *node {
	for i := range g.nodes {
		if g.nodes[i].name == volume {
			return &g.nodes[i]
		}
	}
	return nil
}

// reconfigure puts changes in force, all or none. Only the loop calls it.
func (g *Graph) reconfigure(f *volfile.File, changes []change) error {
	for i, c := range changes {
		if err := c.n.x.(xlator.Reconfigurer).Reconfigure(c.opts); err != nil {
			for j := i - 1; j >= 0; j-- {
				done := changes[j]
				if back := done.n.x.(xlator.Reconfigurer).Reconfigure(done.n.opts); back != nil {
					g.log.Error("options could not be put back", "xlator", done.n.name, "err", back)
				}
			}
			return fmt.Errorf("translator %s: %w", c.n.name, err)
		}
	}
	for _, c := range changes {
		c.n.opts = c.opts
	}
	g.file.Store(f)
	return nil
}
