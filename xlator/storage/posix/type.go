package posix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Type is storage/posix.
func Type() *xlator.Type {
	ignored := func(name string, kind xlator.OptionKind) xlator.Option {
		return xlator.Option{Name: name, Kind: kind, Ignored: true, Live: true, Help: "GlusterFS's; accepted, changes nothing here."}
	}
	return &xlator.Type{
		Name:    "storage/posix",
		Summary: "Serves a directory of a local file system as a brick.",
		Options: []xlator.Option{
			{Name: "directory", Kind: xlator.KindPath, Help: "The brick's directory (required)."},
			{Name: "volume-id", Kind: xlator.KindString, Help: "Uuid of the volume that the directory must belong to; a directory without one gets it."},
			{Name: "io-limit", Kind: xlator.KindInt, Default: "64", Min: 1, Max: 4096, Live: true, Help: "Not of GlusterFS. How many system calls may run at once."},
			ignored("shared-brick-count", xlator.KindInt),
			ignored("fips-mode-rchecksum", xlator.KindBool),
			ignored("glusterd-uuid", xlator.KindString),
			ignored("o-direct", xlator.KindBool),
			ignored("update-link-count-parent", xlator.KindBool),
			ignored("gfid2path", xlator.KindBool),
			ignored("gfid2path-separator", xlator.KindString),
			ignored("health-check-interval", xlator.KindTime),
			ignored("health-check-timeout", xlator.KindTime),
			ignored("linux-aio", xlator.KindBool),
			ignored("linux-io_uring", xlator.KindBool),
			ignored("batch-fsync-mode", xlator.KindString),
			ignored("batch-fsync-delay-usec", xlator.KindInt),
			ignored("node-uuid-pathinfo", xlator.KindBool),
			ignored("background-unlink", xlator.KindBool),
			ignored("janitor-sleep-duration", xlator.KindTime),
			ignored("hostname", xlator.KindString),
			ignored("ctime", xlator.KindBool),
		},
		New: newBrick,
	}
}

// Brick is one graph's storage/posix: a leaf.
type Brick struct {
	env    *xlator.Env
	dir    string
	volume uuid.UUID // wanted; Nil: any
	log    *slog.Logger
	objs   xlator.InodeSlot[object]
	fds    xlator.FDSlot[descriptor]

	// Set by Start.
	rt      *Runtime
	release func() error
}

var _ interface {
	xlator.Fops
	xlator.Starter
	xlator.Stopper
	xlator.Reconfigurer
	xlator.VolumeIdentifier
	xlator.Identifier
	xlator.Dumper
} = (*Brick)(nil)

func newBrick(e *xlator.Env) (xlator.Fops, error) {
	b := &Brick{
		env: e, dir: e.Options.String("directory"), log: e.Log,
		objs: xlator.NewInodeSlot[object](e), fds: xlator.NewFDSlot[descriptor](e),
	}
	if b.dir == "" {
		return nil, fmt.Errorf("translator %s: option directory is required", e.Volume)
	}
	if s := e.Options.String("volume-id"); s != "" {
		id, err := uuid.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("translator %s: option volume-id: %q is not a uuid", e.Volume, s)
		}
		b.volume = id
	}
	return b, nil
}

// Start takes the directory into use, or joins the graph that has it already.
func (b *Brick) Start(context.Context) error {
	err := b.start()
	if err != nil {
		b.Stop()
		return fmt.Errorf("translator %s: %w", b.env.Volume, err)
	}
	return nil
}

func (b *Brick) start() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("brick directory %s: root is needed, for trusted extended attributes, other users' files and open_by_handle_at(2): %w", b.dir, unix.EPERM)
	}
	var st unix.Stat_t
	if err := unix.Stat(b.dir, &st); err != nil {
		return fmt.Errorf("brick directory %s: %w", b.dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("brick directory %s: %w", b.dir, unix.ENOTDIR)
	}
	key := identity(&st)
	c := claim{volume: b.volume, foreign: b.env.Mount.AllowForeignBrick, limit: b.env.Options.Int("io-limit"), log: b.log,
		users: b.env.Opens, keeper: b.env.Descriptors, name: key}
	var err error
	b.rt, b.release, err = xlator.Share(b.env.Pool, key, func() (*Runtime, error) {
		return openRuntime(b.dir, c)
	})
	if err != nil {
		b.rt, b.release = nil, nil
		return err
	}
	if b.volume != uuid.Nil && b.volume != b.rt.volume {
		return fmt.Errorf("brick directory %s belongs to volume %s, not to %s: %w", b.dir, b.rt.volume, b.volume, unix.EINVAL)
	}
	b.rt.setLimit(c.limit)
	return nil
}

// identity names a directory in the pool and with the keeper.
func identity(st *unix.Stat_t) string { return fmt.Sprintf("brick:%d:%d", st.Dev, st.Ino) }

// Stop lets go of the directory; it stays in use while another graph has it.
func (b *Brick) Stop() {
	if b.release == nil {
		return
	}
	if b.env.Phase.Load().Name() != xlator.PhaseSettling {
		b.rt.served.Store(true)
	}
	if err := b.release(); err != nil && !errors.Is(err, os.ErrClosed) {
		b.log.Warn("close brick", "brick", b.dir, "error", err)
	}
	b.release = nil
}

// Reconfigure implements xlator.Reconfigurer.
func (b *Brick) Reconfigure(v xlator.Values) error {
	if b.rt != nil {
		b.rt.setLimit(v.Int("io-limit"))
	}
	return nil
}

// Identity is "brick:<device>:<inode number>" of the directory, after Start.
func (b *Brick) Identity() string {
	if b.rt == nil {
		return ""
	}
	return b.rt.identity
}

// VolumeID is the volume that the directory belongs to, after Start.
func (b *Brick) VolumeID() uuid.UUID {
	if b.rt == nil {
		return uuid.Nil
	}
	return b.rt.volume
}

// Runtime is what this graph shares with the others of its mount.
func (b *Brick) Runtime() *Runtime { return b.rt }

// Dump implements xlator.Dumper.
func (b *Brick) Dump() any {
	if b.rt == nil {
		return struct {
			Directory string `json:"directory"`
		}{b.dir}
	}
	return b.rt.Stats()
}
