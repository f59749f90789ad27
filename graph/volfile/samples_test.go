package volfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator/all"
)

// A volfile that glusterd generated holds nothing that we have never heard of:
// each type is there or is refused with a reason, and each option of a type that
// is there is declared and takes its value.
func TestTypesAndOptionsOfGeneratedVolfilesAreKnown(t *testing.T) {
	names, err := filepath.Glob("testdata/glusterfs-10.3/*.vol")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sample volfiles: %v", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := volfile.Parse(name, src)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range f.Volumes {
			typ := all.Find(v.Type)
			if typ == nil {
				if _, ok := all.Refused(v.Type); !ok {
					t.Error(f.Errorf(v.Pos, "type %s is neither there nor refused", v.Type))
				}
				continue
			}
			for _, o := range v.Options {
				decl, ok := typ.FindOption(o.Key)
				if !ok {
					t.Error(f.Errorf(o.Pos, "%s does not declare option %s", v.Type, o.Key))
					continue
				}
				if _, err := decl.Parse(o.Value); err != nil {
					t.Error(f.Errorf(o.Pos, "%s: %v", v.Type, err))
				}
			}
		}
	}
}
