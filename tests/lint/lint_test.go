package lint

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast/holdfast"

type pkg struct {
	ImportPath, Dir, Name         string
	Imports, TestImports, GoFiles []string
	XTestImports, IgnoredGoFiles  []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// layer says how high a package stands: it may import what is lower.
func layer(path string) (level int, top string) {
	rel := strings.TrimPrefix(path, module+"/")
	top, _, _ = strings.Cut(rel, "/")
	return map[string]int{"xlator": 1, "graph": 2, "fdtable": 3, "fuse": 4, "cmd": 5, "tests": 6}[top], top
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		level, top := layer(p.ImportPath)
		if level == 0 {
			t.Errorf("%s is in no known layer", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			ilevel, itop := layer(imp)
			if ilevel > level || ilevel == level && itop != top {
				t.Errorf("%s imports %s, which stands above it", p.ImportPath, imp)
			}
		}
	}
}

// kinds are the folders of xlator that hold translators.
var kinds = []string{"storage", "protocol", "cluster", "performance", "features", "debug"}

// beneath lists the packages below a translator that have folders of their own.
var beneath = map[string][]string{
	"protocol/client": {"protocol/rpc", "protocol/xdr"},
}

// translator is the folder of the translator that a package belongs to, or "".
func translator(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, module+"/xlator/"), "/")
	if !strings.HasPrefix(path, module+"/xlator/") || len(parts) < 2 || !slices.Contains(kinds, parts[0]) {
		return ""
	}
	return parts[0] + "/" + parts[1]
}

func TestTranslatorsDoNotKnowEachOther(t *testing.T) {
	for _, p := range packages(t) {
		own := translator(p.ImportPath)
		if own == "" {
			continue
		}
		for _, imp := range p.Imports {
			if other := translator(imp); other != "" && other != own && !slices.Contains(beneath[own], other) {
				t.Errorf("%s imports %s: translators know only xlator", p.ImportPath, imp)
			}
			if imp == module+"/xlator/all" {
				t.Errorf("%s imports the table of all translators", p.ImportPath)
			}
		}
	}
}

func TestTopLevelFoldersAreTheAgreedOnes(t *testing.T) {
	cmd := exec.Command("git", "ls-files")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	ok := regexp.MustCompile(`^(cmd|fuse|graph|xlator|fdtable|tests|docs|go\.mod|go\.sum|README\.md|Makefile|LICENSE|\.[A-Za-z].*)$`)
	for _, f := range strings.Fields(string(out)) {
		if top, _, _ := strings.Cut(f, "/"); !ok.MatchString(top) {
			t.Errorf("%s does not belong at the top", top)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil && len(f.Doc.Text()) > 80 {
				documented = true
			}
		}
		if !documented && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestNothingHappensAtImport: no init functions; registration is an explicit
// table.
func TestNothingHappensAtImport(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function", path)
				}
			}
		}
	}
}

func TestNoTestIsSkipped(t *testing.T) {
	err := filepath.WalkDir(root(t), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && skips(fn.Type, fn.Body) {
				t.Errorf("%s: %s skips: what is absent is a failure", path, fn.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// skips finds a Skip of a parameter of a type of package testing. (Skip of a
// rapid.T only says that an action does not fit the state.)
func skips(ft *ast.FuncType, body *ast.BlockStmt) (found bool) {
	ours := map[string]bool{}
	for _, p := range ft.Params.List {
		typ := p.Type
		if s, ok := typ.(*ast.StarExpr); ok {
			typ = s.X
		}
		if sel, ok := typ.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "testing" {
				for _, n := range p.Names {
					ours[n.Name] = true
				}
			}
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			found = found || skips(n.Type, n.Body)
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(sel.Sel.Name, "Skip") {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && ours[x.Name] {
				found = true
			}
		}
		return true
	})
	return found
}
