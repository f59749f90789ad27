// Package all is the one table of translator types: what a volfile's `type` line
// may name, and why the others that GlusterFS knows are refused. It owns nothing
// and has no state.
package all

import (
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/cluster/distribute"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
	"github.com/holdfast/holdfast/xlator/debug/errorgen"
	"github.com/holdfast/holdfast/xlator/debug/iostats"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/features/utime"
	"github.com/holdfast/holdfast/xlator/performance/iocache"
	"github.com/holdfast/holdfast/xlator/performance/iothreads"
	"github.com/holdfast/holdfast/xlator/performance/mdcache"
	"github.com/holdfast/holdfast/xlator/performance/nlcache"
	"github.com/holdfast/holdfast/xlator/performance/openbehind"
	"github.com/holdfast/holdfast/xlator/performance/quickread"
	"github.com/holdfast/holdfast/xlator/performance/readahead"
	"github.com/holdfast/holdfast/xlator/performance/readdirahead"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/protocol/client"
	"github.com/holdfast/holdfast/xlator/storage/posix"
)

// Types lists every translator type that a volfile may name.
func Types() []*xlator.Type {
	return []*xlator.Type{
		distribute.Type(),
		locks.Type(),
		errorgen.Type(),
		delaygen.Type(),
		iostats.Type(),
		utime.Type(),
		iocache.Type(),
		iothreads.Type(),
		mdcache.Type(),
		nlcache.Type(),
		openbehind.Type(),
		quickread.Type(),
		readahead.Type(),
		readdirahead.Type(),
		writebehind.Type(),
		client.Type(),
		posix.Type(),
	}
}

// Find returns the type of that name, or nil.
func Find(name string) *xlator.Type {
	for _, t := range Types() {
		if t.Name == name {
			return t
		}
	}
	return nil
}
