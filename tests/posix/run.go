package posix

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Case checks one promise in dir, which is empty, belongs to root and is on
// the file system under test.
type Case func(t *testing.T, dir string)

// Cases are all cases by name.
func Cases() map[string]Case {
	all := map[string]Case{}
	for _, group := range []map[string]Case{
		openCases(), ioCases(), sizeCases(), mapCases(), nameCases(), renameCases(), linkCases(), nodeCases(),
		ownerCases(), accessCases(), timeCases(), xattrCases(), aclCases(), recordLockCases(), lockCases(),
		dirCases(), identityCases(), processCases(),
	} {
		for name, c := range group {
			if all[name] != nil {
				panic("two cases are called " + name)
			}
			all[name] = c
		}
	}
	return all
}

// RunAll runs every case as a subtest, each in a folder of its own in dir. The
// process must be root's.
func RunAll(t *testing.T, dir string) {
	cases := Cases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) { run(t, dir, name, cases[name]) })
	}
}

func run(t *testing.T, dir, name string, c Case) {
	t.Helper()
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}()
	c(t, folder)
}
