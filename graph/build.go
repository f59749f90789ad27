package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

// errOtherVolume is wrapped when a volfile is of another volume.
var errOtherVolume = errors.New("another volume")

// Check tells what is wrong with a volfile before anything is built from it:
// unknown or refused types, wrong numbers of subvolumes, bad option values.
// Errors carry file:line. Unknown options are warnings.
func (c *Config) Check(f *volfile.File) (warnings []string, err error) {
	var errs []error
	for _, w := range f.Warnings {
		warnings = append(warnings, w.Error())
	}
	for _, v := range reachable(f) {
		typ, err := c.typeOf(f, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, warn, err := parseOptions(f, v, typ)
		warnings = append(warnings, warn...)
		errs = append(errs, err)
	}
	return warnings, errors.Join(errs...)
}

func (c *Config) typeOf(f *volfile.File, v *volfile.Volume) (*xlator.Type, error) {
	typ := c.Types(v.Type)
	if typ == nil {
		if why, ok := c.Refused(v.Type); ok {
			return nil, f.Errorf(v.Pos, "volume %s: type %s cannot be served: %s", v.Name, v.Type, why)
		}
		return nil, f.Errorf(v.Pos, "volume %s: unknown translator type %s", v.Name, v.Type)
	}
	n := len(v.Subvolumes)
	switch {
	case typ.TooMany != "" && n > typ.MaxChildren:
		return nil, f.Errorf(v.Pos, "volume %s: type %s with %s cannot be served: %s", v.Name, v.Type, plural(n), typ.TooMany)
	case n < typ.MinChildren && typ.MinChildren == typ.MaxChildren, typ.MaxChildren >= 0 && n > typ.MaxChildren:
		return nil, f.Errorf(v.Pos, "volume %s: type %s takes %s, not %d", v.Name, v.Type, plural(typ.MaxChildren), n)
	case n < typ.MinChildren:
		return nil, f.Errorf(v.Pos, "volume %s: type %s takes at least %s, not %d", v.Name, v.Type, plural(typ.MinChildren), n)
	}
	return typ, nil
}

func plural(n int) string {
	switch n {
	case 0:
		return "no subvolumes"
	case 1:
		return "1 subvolume"
	}
	return fmt.Sprintf("%d subvolumes", n)
}

// reachable lists the volumes below the top, children before parents.
func reachable(f *volfile.File) []*volfile.Volume {
	want := map[string]bool{}
	if top := f.Top(); top != nil {
		want[top.Name] = true
	}
	var out []*volfile.Volume
	for i := len(f.Volumes) - 1; i >= 0; i-- {
		v := f.Volumes[i]
		if !want[v.Name] {
			continue
		}
		out = append(out, v)
		for _, s := range v.Subvolumes {
			want[s] = true
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func parseOptions(f *volfile.File, v *volfile.Volume, typ *xlator.Type) (vals xlator.Values, warnings []string, err error) {
	vals, err = typ.Defaults()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", typ.Name, err)
	}
	var errs []error
	for i := range v.Options {
		o := &v.Options[i]
		decl, ok := typ.FindOption(o.Key)
		if !ok {
			warnings = append(warnings, f.Errorf(o.Pos, "volume %s: type %s has no option %s, it is ignored", v.Name, v.Type, o.Key).Error())
			continue
		}
		val, err := decl.Parse(o.Value)
		if err != nil {
			errs = append(errs, f.Errorf(o.Pos, "volume %s: %v", v.Name, err))
			continue
		}
		vals[decl.Name] = val
	}
	return vals, warnings, errors.Join(errs...)
}

// build makes a graph from f without starting it.
func (m *Manager) build(f *volfile.File, gen uint64) (*Graph, error) {
	slots := &xlator.Slots{}
	g := &Graph{
		Generation: gen,
		Inodes:     xlator.NewInodeTable(slots),
		phase:      &xlator.Phase{},
		log:        m.cfg.Log.With("graph", gen),
		detach:     make(chan struct{}),
		kick:       make(chan struct{}, 1),
		await:      make(chan struct{}, 1),
	}
	g.file.Store(f)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	byName := map[string]xlator.Fops{}
	ways := map[string]*notifier{}
	var way *notifier
	for _, v := range reachable(f) {
		typ, err := m.cfg.typeOf(f, v)
		if err != nil {
			return nil, err
		}
		opts, _, err := parseOptions(f, v, typ)
		if err != nil {
			return nil, err
		}
		env := &xlator.Env{
			Volume: v.Name, Type: typ, Options: opts,
			Inodes: g.Inodes, Slots: slots, Phase: g.phase,
			Pool: m.cfg.Pool, Errors: m.cfg.Errors, Opens: m.cfg.Opens, Descriptors: m.cfg.Descriptors, Recovery: m.cfg.Recovery,
			Log:        g.log.With("xlator", v.Name),
			Generation: gen, Context: g.ctx, Mount: m.cfg.Mount,
		}
		way = &notifier{}
		env.Notify = way.notify
		for _, s := range v.Subvolumes {
			env.Children = append(env.Children, byName[s])
			ways[s].parents = append(ways[s].parents, way)
		}
		x, err := typ.New(env)
		if err != nil {
			g.cancel()
			return nil, f.Errorf(v.Pos, "volume %s (%s): %v", v.Name, v.Type, err)
		}
		way.self = x
		byName[v.Name], ways[v.Name] = x, way
		g.nodes = append(g.nodes, node{name: v.Name, typ: typ, x: x, opts: opts})
		g.Top = x
	}
	if g.Top == nil {
		return nil, fmt.Errorf("%s: no volume in it", f.Name)
	}
	if m.cfg.Event != nil {
		way.top = func(e xlator.Event) { m.cfg.Event(g, e) }
	}
	return g, nil
}

// connect starts the translators, children first, and proves that the graph
// answers. step is told what is being waited for.
func (g *Graph) connect(ctx context.Context, step func(what string)) error {
	for i := range g.nodes {
		n := &g.nodes[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		step("translator " + n.name)
		if s, ok := n.x.(xlator.Starter); ok {
			if err := s.Start(ctx); err != nil {
				return fmt.Errorf("translator %s (%s): %w", n.name, n.typ.Name, err)
			}
		}
		g.started.Store(int32(i + 1))
		if v, ok := n.x.(xlator.VolumeIdentifier); ok {
			id := v.VolumeID()
			if g.VolumeID != uuid.Nil && id != g.VolumeID {
				return fmt.Errorf("translator %s: brick of volume %s among bricks of volume %s", n.name, id, g.VolumeID)
			}
			g.VolumeID = id
		}
	}
	step("lookup of the root")
	if _, err := g.Top.Lookup(xlator.Internal(), &xlator.LookupReq{GFID: xlator.RootGFID}); err != nil {
		return fmt.Errorf("lookup of the root: %w", err)
	}
	return nil
}

// providesLocks reports whether fcntl and flock locks work in the graph.
func (g *Graph) providesLocks() bool {
	for i := range g.nodes {
		if _, ok := g.nodes[i].x.(xlator.LockProvider); ok {
			return true
		}
	}
	return false
}

// RestoreLocks tells the translators that keep locks in memory what
// applications hold in that file, before the graph's first request.
func (g *Graph) RestoreLocks(file xlator.GFID, locks []xlator.Lock) error {
	for i := range g.nodes {
		if r, ok := g.nodes[i].x.(xlator.LockRestorer); ok {
			if err := r.RestoreLocks(file, locks); err != nil {
				return fmt.Errorf("translator %s: restore locks of %s: %w", g.nodes[i].name, file, err)
			}
		}
	}
	return nil
}
