package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/xlator"
)

// target is what a setting changes: one option of a translator type, or, with
// an empty option, whether the translator is in the graph.
type target struct {
	typ, option string
}

// settings maps GlusterFS's option names. Those with two targets set both.
var settings = map[string][]target{
	"performance.write-behind":      {{"performance/write-behind", ""}},
	"performance.stat-prefetch":     {{"performance/md-cache", ""}},
	"performance.read-ahead":        {{"performance/read-ahead", ""}},
	"performance.readdir-ahead":     {{"performance/readdir-ahead", ""}},
	"performance.io-cache":          {{"performance/io-cache", ""}},
	"performance.open-behind":       {{"performance/open-behind", ""}},
	"performance.quick-read":        {{"performance/quick-read", ""}},
	"performance.nl-cache":          {{"performance/nl-cache", ""}},
	"performance.client-io-threads": {{"performance/io-threads", ""}},
	"features.ctime":                {{"features/utime", ""}},
	"features.locks":                {{"features/locks", ""}},

	"performance.write-behind-window-size":        {{"performance/write-behind", "cache-size"}},
	"performance.aggregate-size":                  {{"performance/write-behind", "aggregate-size"}},
	"performance.flush-behind":                    {{"performance/write-behind", "flush-behind"}},
	"performance.strict-o-direct":                 {{"performance/write-behind", "strict-O_DIRECT"}},
	"performance.strict-write-ordering":           {{"performance/write-behind", "strict-write-ordering"}},
	"performance.resync-failed-syncs-after-fsync": {{"performance/write-behind", "resync-failed-syncs-after-fsync"}},
	"performance.write-behind-trickling-writes":   {{"performance/write-behind", "trickling-writes"}},
	"performance.md-cache-timeout":                {{"performance/md-cache", "md-cache-timeout"}},
	"performance.cache-invalidation":              {{"performance/md-cache", "cache-invalidation"}},
	"performance.xattr-cache-list":                {{"performance/md-cache", "xattr-cache-list"}},
	"performance.md-cache-statfs":                 {{"performance/md-cache", "md-cache-statfs"}},
	"performance.cache-size":                      {{"performance/io-cache", "cache-size"}, {"performance/quick-read", "cache-size"}},
	"performance.io-cache-size":                   {{"performance/io-cache", "cache-size"}},
	"performance.quick-read-cache-size":           {{"performance/quick-read", "cache-size"}},
	"performance.cache-refresh-timeout":           {{"performance/io-cache", "cache-timeout"}},
	"performance.cache-max-file-size":             {{"performance/io-cache", "max-file-size"}},
	"performance.cache-min-file-size":             {{"performance/io-cache", "min-file-size"}},
	"performance.qr-cache-timeout":                {{"performance/quick-read", "cache-timeout"}},
	"performance.lazy-open":                       {{"performance/open-behind", "lazy-open"}},
	"performance.read-after-open":                 {{"performance/open-behind", "read-after-open"}},
	"performance.read-ahead-page-count":           {{"performance/read-ahead", "page-count"}},
	"performance.rda-request-size":                {{"performance/readdir-ahead", "rda-request-size"}},
	"performance.rda-cache-limit":                 {{"performance/readdir-ahead", "rda-cache-limit"}},
	"performance.nl-cache-timeout":                {{"performance/nl-cache", "nl-cache-timeout"}},
	"performance.nl-cache-limit":                  {{"performance/nl-cache", "nl-cache-limit"}},
	"performance.nl-cache-positive-entry":         {{"performance/nl-cache", "nl-cache-positive-entry"}},
	"performance.io-thread-count":                 {{"performance/io-threads", "thread-count"}},
	"diagnostics.latency-measurement":             {{"debug/io-stats", "latency-measurement"}},
	"diagnostics.count-fop-hits":                  {{"debug/io-stats", "count-fop-hits"}},
	"diagnostics.client-log-level":                {{"debug/io-stats", "log-level"}},
}

// layers is the default graph from the bottom to the top, in GlusterFS's order.
// always says that no setting takes the translator out.
var layers = []struct {
	typ    string
	suffix string
	on     bool
	always bool
}{
	{"storage/posix", "-posix", true, true},
	{"features/locks", "-locks", true, false},
	{"features/utime", "-utime", false, false},
	{"performance/write-behind", "-write-behind", true, false},
	{"performance/read-ahead", "-read-ahead", false, false},
	{"performance/readdir-ahead", "-readdir-ahead", false, false},
	{"performance/io-cache", "-io-cache", false, false},
	{"performance/open-behind", "-open-behind", false, false},
	{"performance/quick-read", "-quick-read", false, false},
	{"performance/nl-cache", "-nl-cache", false, false},
	{"performance/md-cache", "-md-cache", true, false},
	{"performance/io-threads", "-io-threads", false, false},
	{"debug/io-stats", "", true, true},
}

// onByDefault reports whether the default graph has a translator of that type.
func onByDefault(typ string) bool {
	for _, l := range layers {
		if l.typ == typ {
			return l.on
		}
	}
	return false
}

// Settings is the values that were set for a volume, by GlusterFS's names.
type Settings map[string]string

// ResetAll, as a key of Change.Reset, resets every setting.
const ResetAll = "all"

// Change returns the settings after pairs are set and the keys in reset are
// back at their defaults. Nothing is changed if anything is wrong.
func (s Settings) Change(types TypeFinder, pairs [][2]string, reset []string) (Settings, error) {
	n := Settings{}
	for k, v := range s {
		n[k] = v
	}
	var errs []error
	for _, k := range reset {
		switch {
		case k == ResetAll:
			clear(n)
		case settings[k] == nil:
			errs = append(errs, unknown(k))
		default:
			delete(n, k)
		}
	}
	for _, p := range pairs {
		if err := check(types, p[0], p[1]); err != nil {
			errs = append(errs, err)
			continue
		}
		n[p[0]] = p[1]
	}
	return n, errors.Join(errs...)
}

// TypeFinder finds a translator type by name, or returns nil.
type TypeFinder func(name string) *xlator.Type

func unknown(key string) error {
	var keys []string
	for k := range settings {
		keys = append(keys, k)
	}
	// People forget the first part, or take another one.
	_, last, _ := strings.Cut(key, ".")
	for _, k := range slices.Sorted(slices.Values(keys)) {
		_, kl, _ := strings.Cut(k, ".")
		if kl == key || kl == last {
			return fmt.Errorf("unknown setting %s (did you mean %s?)", key, k)
		}
	}
	if n := mountopt.Nearest(key, keys); n != "" {
		return fmt.Errorf("unknown setting %s (did you mean %s?)", key, n)
	}
	return fmt.Errorf("unknown setting %s; `holdfast set MOUNTPOINT` lists them", key)
}

// check says whether key may have that value.
func check(types TypeFinder, key, value string) error {
	targets := settings[key]
	if targets == nil {
		return unknown(key)
	}
	for _, t := range targets {
		typ := types(t.typ)
		if typ == nil {
			return fmt.Errorf("setting %s: there is no %s", key, t.typ)
		}
		if t.option == "" {
			if _, ok := xlator.ParseBool(value); !ok {
				return fmt.Errorf("setting %s: %q is neither on nor off", key, value)
			}
			continue
		}
		o, ok := typ.FindOption(t.option)
		if !ok {
			return fmt.Errorf("setting %s: %s has no option %s", key, t.typ, t.option)
		}
		if _, err := o.Parse(value); err != nil {
			return fmt.Errorf("setting %s: %w", key, err)
		}
	}
	return nil
}

// Setting is one of the table with what it stands at.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default bool   `json:"default"` // not set
	Effect  string `json:"effect"`  // what it changes
	Help    string `json:"help,omitempty"`
}

// List returns all settings with their values, sorted by name.
func (s Settings) List(types TypeFinder) []Setting {
	var all []Setting
	for k, targets := range settings {
		t := targets[0]
		typ := types(t.typ)
		if typ == nil {
			continue
		}
		st := Setting{Key: k, Default: true}
		if t.option == "" {
			st.Value, st.Effect, st.Help = onOff(onByDefault(t.typ)), t.typ+" in the graph", typ.Summary
		} else if o, ok := typ.FindOption(t.option); ok {
			st.Value, st.Effect, st.Help = o.Default, t.typ+" "+o.Name, o.Help
		} else {
			continue
		}
		if v, ok := s[k]; ok {
			st.Value, st.Default = v, false
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}
