package gluster_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/posix"
)

// beyondBricks is what a 10.3 brick does not do for anybody; the stock client
// fails these cases, too, and 20 others.
var beyondBricks = map[string]string{
	"ACLIsInheritedByAllTypes":      "no O_TMPFILE",
	"NewFilesBelongToTheirMaker":    "no O_TMPFILE",
	"UmaskCuts":                     "no O_TMPFILE",
	"TmpfileExclusiveHasNoName":     "no O_TMPFILE",
	"TmpfileGetsItsNameLater":       "no O_TMPFILE",
	"OpenPath":                      "what has no name cannot be opened again",
	"PathOf4000Bytes":               "the brick goes by paths below its own folder",
	"RenameExchange":                "no flags in the protocol",
	"RenameNoReplace":               "no flags in the protocol",
	"AttributesUpdateCtime":         "setxattr(2) does not move ctime",
	"FallocateKeepsSize":            "blocks behind the end of a file are not counted",
	"FlockAndRecordLocks":           "flock(2) locks are record locks of the whole file",
	"FlockConverts":                 "who waits is not looked at when a write lock becomes a read lock",
	"RecordLockUpgradeAndDowngrade": "who waits is not looked at when a write lock becomes a read lock",
	"RecordLocksSplitAndMerge":      "F_GETLK tells of locks in pieces",
	"RecordLockDeadlockIsSeen":      "no EDEADLK",
}

// TestMountedBrickIsPOSIX: as far as its brick is.
func TestMountedBrickIsPOSIX(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	m := mount(t, l, v, mnt.O("acl"))
	cases := posix.Cases()
	for name := range beyondBricks {
		if cases[name] == nil {
			t.Errorf("there is no case %s any more", name)
		}
		delete(cases, name)
	}
	if !long(t) {
		delete(cases, "ListingOf10000Entries")
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(m.Dir, name)
			ok(t, os.Mkdir(dir, 0o755))
			ok(t, os.Chmod(dir, 0o755))
			cases[name](t, dir)
			ok(t, os.RemoveAll(dir))
		})
	}
}
