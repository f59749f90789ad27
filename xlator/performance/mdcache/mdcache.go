package mdcache

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes performance/md-cache.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/md-cache",
		Summary:     "Answers for attributes, and for chosen extended attributes, what the child said a moment ago.",
		MinChildren: 1, MaxChildren: 1,
		New:     func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, sinceStart()) },
		Options: options(),
	}
}

func options() []xlator.Option {
	os := []xlator.Option{
		{Name: "md-cache-timeout", Kind: xlator.KindTime, Default: "1", Min: 0, Max: 600, Unit: " s", Live: true,
			Help: "How long an answer is used without asking the child again; 0: not at all."},
		{Name: "xattr-cache-list", Live: true, Check: checkList,
			Help: "Further extended attributes to keep, separated by commas; a * at the end stands for any rest."},
		{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true,
			Help: "Whether to forward every fop and keep nothing."},
	}
	for _, x := range xattrOptions {
		def := "off"
		if x.on {
			def = "on"
		}
		os = append(os, xlator.Option{Name: x.name, Kind: xlator.KindBool, Default: def, Live: true,
			Help: "Whether to keep " + strings.Join(x.xattrs, ", ") + "."})
	}
	for _, o := range []struct{ name, def, why string }{
		{"cache-invalidation", "off", "what a brick tells of changes by others is always heard"},
		{"global-cache-invalidation", "on", "the kernel's caches are bounded by the mount's timeouts"},
		{"force-readdirp", "on", "the mount decides between READDIR and READDIRP"},
		{"md-cache-statfs", "off", "STATFS always asks the bricks"},
	} {
		os = append(os, xlator.Option{Name: o.name, Kind: xlator.KindBool, Default: o.def, Live: true, Ignored: true,
			Help: "Accepted and without effect: " + o.why + "."})
	}
	return os
}

// xattrOptions are the options that each stand for some extended attributes.
var xattrOptions = []struct {
	name   string
	on     bool
	xattrs []string
}{
	{"cache-capability-xattrs", true, []string{"security.capability"}},
	{"cache-ima-xattrs", true, []string{"security.ima"}},
	{"cache-selinux", false, []string{"security.selinux"}},
	{"cache-posix-acl", false, []string{"system.posix_acl_access", "system.posix_acl_default"}},
	{"cache-samba-metadata", false, []string{"user.DOSATTRIB", "security.NTACL", "user.org.netatalk.Metadata"}},
	{"cache-swift-metadata", false, []string{"user.swift.metadata"}},
}

func checkList(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if i := strings.IndexByte(name, '*'); i >= 0 && i < len(name)-1 {
			return fmt.Errorf("%q: a * may stand at the end of a name only", name)
		}
	}
	return nil
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	timeout  time.Duration
	names    map[string]bool
	prefixes []string
}

func (s *settings) keeps(xattr string) bool {
	if s.names[xattr] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(xattr, p) {
			return true
		}
	}
	return false
}

type translator struct {
	xlator.Default

	// constant after construction
	phase   *xlator.Phase
	inodes  *xlator.InodeTable
	entries xlator.InodeSlot[entry]
	now     func() time.Duration // since some moment; monotonic

	// atomic
	settings atomic.Pointer[settings]
	changes  changes

	hits, misses           atomic.Uint64 // of attributes
	xattrHits, xattrMisses atomic.Uint64
	kept, refused          atomic.Uint64 // answers with attributes
}

// sinceStart is a clock from now on.
func sinceStart() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{phase: e.Phase, inodes: e.Inodes, now: now, entries: xlator.NewInodeSlot[entry](e)}
	t.Next = e.Children[0]
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was kept is forgotten.
func (t *translator) Reconfigure(v xlator.Values) error {
	s := &settings{timeout: v.Duration("md-cache-timeout"), names: map[string]bool{}}
	if v.Bool("pass-through") {
		s.timeout = 0
	}
	for _, x := range xattrOptions {
		for _, name := range x.xattrs {
			s.names[name] = v.Bool(x.name)
		}
	}
	for name := range strings.SplitSeq(v.String("xattr-cache-list"), ",") {
		name = strings.TrimSpace(name)
		if p, ok := strings.CutSuffix(name, "*"); ok {
			s.prefixes = append(s.prefixes, p)
		} else if name != "" {
			s.names[name] = true
		}
	}
	t.settings.Store(s)
	t.changes.all()
	return nil
}

// Dump implements xlator.Dumper: what was answered from memory, what was not,
// and how many answers were kept or, because something changed meanwhile, not.
func (t *translator) Dump() any {
	return map[string]uint64{
		"hits": t.hits.Load(), "misses": t.misses.Load(),
		"xattr_hits": t.xattrHits.Load(), "xattr_misses": t.xattrMisses.Load(),
		"kept": t.kept.Load(), "refused": t.refused.Load(),
	}
}
