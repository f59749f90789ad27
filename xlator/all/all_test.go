package all_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

func TestTypesAreFoundByName(t *testing.T) {
	seen := map[string]bool{}
	for _, typ := range all.Types() {
		if seen[typ.Name] {
			t.Errorf("%s is there twice", typ.Name)
		}
		seen[typ.Name] = true
		if f := all.Find(typ.Name); f == nil || f.Name != typ.Name {
			t.Errorf("%s is not found", typ.Name)
		}
		if reason, ok := all.Refused(typ.Name); ok {
			t.Errorf("%s is there and refused: %s", typ.Name, reason)
		}
	}
	if all.Find("performance/what") != nil {
		t.Error("found a type that is not there")
	}
}

// The folder is named like the type, without dashes: who reads a volfile finds
// the code.
func TestTypeHasTheFolderOfItsName(t *testing.T) {
	for _, typ := range all.Types() {
		dir := strings.ReplaceAll(typ.Name, "-", "")
		if _, err := os.Stat(filepath.Join("..", dir, "doc.go")); err != nil {
			t.Errorf("%s: %v", typ.Name, err)
		}
	}
}

func TestDeclarationsAreComplete(t *testing.T) {
	for _, typ := range all.Types() {
		if typ.Summary == "" || typ.New == nil || typ.MaxChildren >= 0 && typ.MaxChildren < typ.MinChildren {
			t.Errorf("%s: summary, New or number of children", typ.Name)
		}
		if _, err := typ.Defaults(); err != nil {
			t.Errorf("%s: %v", typ.Name, err)
		}
		seen := map[string]bool{}
		for _, o := range typ.Options {
			for _, name := range append([]string{o.Name}, o.Alias...) {
				if name == "" || seen[name] {
					t.Errorf("%s: option %q twice or without a name", typ.Name, name)
				}
				seen[name] = true
			}
			if o.Help == "" {
				t.Errorf("%s: option %s has no help", typ.Name, o.Name)
			}
		}
	}
}

// Each type has a page in docs/translators whose heading is its name; the page
// of one that forwards says so.
func TestTypeHasAPage(t *testing.T) {
	pages, err := filepath.Glob("../../docs/translators/*.md")
	if err != nil {
		t.Fatal(err)
	}
	byHeading := map[string]string{}
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		heading, rest, _ := strings.Cut(string(text), "\n")
		byHeading[strings.TrimPrefix(heading, "# ")] = rest
	}
	for _, typ := range all.Types() {
		page, ok := byHeading[typ.Name]
		switch {
		case !ok:
			t.Errorf("no page with the heading %q", "# "+typ.Name)
		case typ.Forwards != strings.Contains(page, "Forwards for now"):
			t.Errorf("the page of %s and its declaration disagree on whether it forwards", typ.Name)
		}
	}
}

func TestForwardingTypesSaySo(t *testing.T) {
	n := 0
	for _, typ := range all.Types() {
		if !typ.Forwards {
			continue
		}
		n++
		if !strings.Contains(typ.Summary, "forwards for now") {
			t.Errorf("%s: %s", typ.Name, typ.Summary)
		}
		for _, o := range typ.Options {
			if !o.Ignored || !o.Live || !strings.Contains(o.Help, "forwards for now") {
				t.Errorf("%s: option %s is not declared as ignored", typ.Name, o.Name)
			}
		}
	}
	if n == 0 {
		t.Error("no type forwards: remove this test")
	}
}

func TestForwardingTypesCheckValues(t *testing.T) {
	for _, c := range []struct{ typ, option, good, bad string }{
		{"performance/io-cache", "cache-size", "4MB", "1MB"},
		{"performance/io-cache", "force-revalidate-timeout", "60", "61"},
		{"performance/quick-read", "cache-size", "64MB", "much"},
		{"performance/open-behind", "lazy-open", "No", "perhaps"},
		{"performance/read-ahead", "page-count", "16", "17"},
		{"performance/readdir-ahead", "rda-cache-limit", "5242880B", "-1"},
		{"performance/nl-cache", "nl-cache-limit", "10MB", "101MB"},
		{"performance/io-threads", "thread-count", "64", "0"},
		{"features/utime", "noatime", "on", ""},
	} {
		o := option(t, c.typ, c.option)
		if _, err := o.Parse(c.good); err != nil {
			t.Error(err)
		}
		if _, err := o.Parse(c.bad); err == nil {
			t.Errorf("%s: option %s takes %q", c.typ, c.option, c.bad)
		}
	}
}

func option(t *testing.T, typ, name string) *xlator.Option {
	t.Helper()
	found := all.Find(typ)
	if found == nil {
		t.Fatalf("no type %s", typ)
	}
	o, ok := found.FindOption(name)
	if !ok {
		t.Fatalf("%s has no option %s", typ, name)
	}
	return o
}
