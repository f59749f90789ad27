package errorgen

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// Type describes debug/error-gen.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "debug/error-gen",
		Summary:     "Makes a share of the fops fail with a chosen errno.",
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
		Options: []xlator.Option{
			{Name: "failure", Kind: xlator.KindPercent, Default: "10", Unit: "%", Live: true,
				Help: "Share of the matching fops that fails; fractions are fine."},
			{Name: "error-no", Default: "EIO", Live: true, Check: checkErrno,
				Help: "What they fail with: the name of an errno, or its number."},
			{Name: "enable", Live: true, Check: checkFops,
				Help: "Fops that may fail, separated by commas (lookup,writev,fsync); empty: all."},
			{Name: "random-failure", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Decide by chance instead of spreading failures evenly."},
			{Name: "count", Kind: xlator.KindInt, Default: "0", Min: 0, Max: 1e9, Live: true,
				Help: "Not of GlusterFS. At most so many fail, counted from the last change of the options; 0: no limit."},
			{Name: "after", Kind: xlator.KindInt, Default: "0", Min: 0, Max: 1e9, Live: true,
				Help: "Not of GlusterFS. So many matching fops pass first."},
			{Name: "gfid", Live: true, Check: checkGFIDs,
				Help: "Not of GlusterFS. Only fops on these files (gfids, separated by commas); of fops on names, the directory counts."},
		},
	}
}

type translator struct {
	xlator.Intercept
	settings atomic.Pointer[settings]
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	filter       xlator.Filter
	errno        syscall.Errno
	share        float64 // 0 to 1
	random       bool
	count, after uint64

	// atomic
	matched, failed atomic.Uint64
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{}
	t.Next = e.Children[0]
	t.Around = t.around
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer.
func (t *translator) Reconfigure(v xlator.Values) error {
	fops, err := xlator.ParseFopSet(v.String("enable"))
	if err != nil {
		return fmt.Errorf("option enable: %w", err)
	}
	gfids, err := xlator.ParseGFIDs(v.String("gfid"))
	if err != nil {
		return fmt.Errorf("option gfid: %w", err)
	}
	errno, err := parseErrno(v.String("error-no"))
	if err != nil {
		return fmt.Errorf("option error-no: %w", err)
	}
	t.settings.Store(&settings{
		filter: xlator.Filter{Fops: fops, GFIDs: gfids},
		errno:  errno,
		share:  v.Float("failure") / 100,
		random: v.Bool("random-failure"),
		count:  uint64(v.Int("count")),
		after:  uint64(v.Int("after")),
	})
	return nil
}

func (t *translator) around(_ context.Context, f xlator.Fop, req any, next func() error) error {
	if s := t.settings.Load(); s.fails(f, req) {
		return fmt.Errorf("error-gen: %s: %w", strings.ToLower(f.String()), s.errno)
	}
	return next()
}

// fails decides about one fop.
func (s *settings) fails(f xlator.Fop, req any) bool {
	if s.share == 0 || !s.filter.Match(f, req) {
		return false
	}
	n := s.matched.Add(1)
	if n <= s.after {
		return false
	}
	if s.random {
		if rand.Float64() >= s.share {
			return false
		}
	} else if n -= s.after; uint64(float64(n)*s.share) == uint64(float64(n-1)*s.share) {
		return false // the whole number of failures due by now has not grown
	}
	for {
		failed := s.failed.Load()
		if s.count > 0 && failed >= s.count {
			return false
		}
		if s.failed.CompareAndSwap(failed, failed+1) {
			return true
		}
	}
}

// Dump implements xlator.Dumper.
func (t *translator) Dump() any {
	s := t.settings.Load()
	return map[string]uint64{"matched": s.matched.Load(), "failed": s.failed.Load()}
}

func parseErrno(text string) (syscall.Errno, error) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil && unix.ErrnoName(syscall.Errno(n)) != "" {
		return syscall.Errno(n), nil
	}
	if text != "" {
		for n := range syscall.Errno(200) {
			if unix.ErrnoName(n) == strings.ToUpper(text) {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("%q is not an errno such as EIO or ENOSPC", text)
}

func checkErrno(s string) error { _, err := parseErrno(s); return err }
func checkFops(s string) error  { _, err := xlator.ParseFopSet(s); return err }
func checkGFIDs(s string) error { _, err := xlator.ParseGFIDs(s); return err }
