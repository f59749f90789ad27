package all

// Refused says why a type that GlusterFS knows cannot be honoured; ok is false
// for a type that it does not know either. A graph with such a type is not
// built: leaving a translator out could lose or garble data.
func Refused(name string) (reason string, ok bool) {
	reason, ok = refused[name]
	return reason, ok
}

const (
	notYet     = "not supported yet"
	ofBrick    = "belongs to a brick's graph; holdfast mounts a client's graph or a directory"
	spread     = "volumes spread over several bricks come next"
	redundant  = "without it, copies of the data would drift apart; volumes of several bricks come next"
	hides      = "it decides what may be seen or changed; without it, more would be; not supported yet"
	transforms = "data on the bricks is not what applications wrote; reading it without this translator would give garbage"
	otherEnd   = "it is an entry of another program, not a part of a mount"
)

// refused is constant.
var refused = map[string]string{
	"cluster/dht":       "an old name: write cluster/distribute",
	"cluster/nufa":      spread,
	"cluster/switch":    spread,
	"cluster/tier":      spread,
	"cluster/stripe":    transforms,
	"cluster/unify":     spread,
	"cluster/map":       spread,
	"cluster/ha":        redundant,
	"cluster/replicate": redundant,
	"cluster/afr":       redundant,
	"cluster/disperse":  transforms,
	"cluster/ec":        transforms,

	"protocol/server": ofBrick,

	"features/shard":              "a large file is in many pieces; without this translator, reading and writing it would corrupt it",
	"features/cloudsync":          "files may be in a cloud with only a stub on the brick; reading the stub would give garbage",
	"features/read-only":          hides,
	"features/worm":               hides,
	"features/snapview-client":    hides,
	"features/snapview-server":    otherEnd,
	"features/gfid-access":        notYet,
	"features/namespace":          ofBrick,
	"features/quiesce":            notYet,
	"features/thin-arbiter":       redundant,
	"features/arbiter":            "an arbiter brick holds no data",
	"features/access-control":     ofBrick,
	"features/barrier":            ofBrick,
	"features/bitrot-stub":        ofBrick,
	"features/bit-rot":            otherEnd,
	"features/changelog":          ofBrick,
	"features/changetimerecorder": ofBrick,
	"features/index":              ofBrick,
	"features/leases":             ofBrick,
	"features/marker":             ofBrick,
	"features/quota":              ofBrick,
	"features/quotad":             otherEnd,
	"features/simple-quota":       ofBrick,
	"features/sdfs":               ofBrick,
	"features/selinux":            ofBrick,
	"features/trash":              ofBrick,
	"features/upcall":             ofBrick,
	"features/cdc":                transforms,
	"features/compress":           transforms,
	"features/filter":             hides,
	"features/mac-compat":         hides,
	"features/metadisp":           transforms,
	"features/path-convertor":     "names on the bricks are not those that applications use",
	"features/posix-locks":        "an old name: write features/locks",
	"features/ganesha":            otherEnd,

	"system/posix-acl":  "it checks permissions; the bridge has the kernel do that, so leave it out",
	"encryption/crypt":  transforms,
	"encryption/rot-13": transforms,

	"performance/symlink-cache": "no longer part of GlusterFS",
	"performance/decompounder":  "no longer part of GlusterFS",
	"performance/stat-prefetch": "an old name: write performance/md-cache",

	"debug/trace": notYet,
	"debug/sink":  "it answers without doing anything; for tests of GlusterFS",

	"storage/bd":   "bricks on block devices are no longer part of GlusterFS",
	"storage/bdb":  "bricks in a database are no longer part of GlusterFS",
	"storage/null": "it keeps nothing",

	"meta":                              notYet,
	"mount/fuse":                        "holdfast brings its own bridge to the kernel; leave it out",
	"mount/api":                         otherEnd,
	"nfs/server":                        otherEnd,
	"mgmt/glusterd":                     otherEnd,
	"playground/template":               "it is an example",
	"testing/performance/symlink-cache": "no longer part of GlusterFS",
}
