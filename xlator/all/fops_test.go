package all_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// required is what types cannot be made without.
var required = map[string]map[string]string{
	"storage/posix":   {"directory": "/nonexistent"},
	"protocol/client": {"remote-host": "localhost", "remote-subvolume": "/nonexistent"},
}

// A new fop is a new row here: whoever adds one sees which translators let it
// pass unseen, and has to say whether that is right.
func TestFopsPageIsUpToDate(t *testing.T) {
	var columns, forwards []*xlator.Type
	for _, typ := range byName(all.Types()) {
		if typ.Forwards {
			forwards = append(forwards, typ)
		} else {
			columns = append(columns, typ)
		}
	}
	own := map[*xlator.Type]map[string]bool{}
	var b strings.Builder
	b.WriteString("# Which translator does what with which fop\n\n" + generated)
	b.WriteString("*x*: the translator has code of its own for the fop. *o*: one function of it sees or intercepts every fop.\n" +
		"Empty: the fop is forwarded unseen.\n\n| fop |")
	for _, typ := range columns {
		own[typ] = overridden(t, typ)
		fmt.Fprintf(&b, " %s |", typ.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(columns)) + "\n")
	for m := range reflect.TypeFor[xlator.Fops]().Methods() {
		fmt.Fprintf(&b, "| %s |", m.Name)
		for _, typ := range columns {
			mark := " "
			switch {
			case own[typ][m.Name]:
				mark = " x "
			case own[typ]["*"] && m.Name != "Release":
				mark = " o "
			}
			b.WriteString(mark + "|")
		}
		b.WriteString("\n")
	}
	b.WriteString("\nForwarding everything, for now:")
	for i, typ := range forwards {
		if fops := overridden(t, typ); len(fops) > 0 {
			t.Errorf("%s says that it forwards and has code for %v", typ.Name, fops)
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + typ.Name)
	}
	b.WriteString(".\n")
	golden(t, "fops.md", b.String())
}

// overridden returns the fops for which the type's translator has code of its
// own, and "*" when it is an Intercept or Observe. It makes one to see of which
// Go types it consists, and reads their methods in the source: a method that
// was promoted from Default looks like any other to reflection.
func overridden(t *testing.T, typ *xlator.Type) map[string]bool {
	t.Helper()
	fops := map[string]bool{}
	collect(t, reflect.TypeOf(make1(t, typ)), fops)
	return fops
}

func make1(t *testing.T, typ *xlator.Type) xlator.Fops {
	t.Helper()
	vs, err := typ.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range required[typ.Name] {
		o, _ := typ.FindOption(name)
		if vs[name], err = o.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	slots := &xlator.Slots{}
	env := &xlator.Env{
		Volume: "v", Type: typ, Options: vs, Slots: slots, Inodes: xlator.NewInodeTable(slots), Phase: &xlator.Phase{},
		Pool: xlator.NewPool(), Log: slog.New(slog.DiscardHandler), Generation: 1, Context: t.Context(),
		Notify: func(xlator.Event) {},
	}
	for range typ.MinChildren {
		env.Children = append(env.Children, &xlator.Default{})
	}
	x, err := typ.New(env)
	if err != nil {
		t.Fatalf("%s: %v", typ.Name, err)
	}
	return x
}

// collect adds the fops among the methods of typ, and of the structs embedded
// in it, to fops.
func collect(t *testing.T, typ reflect.Type, fops map[string]bool) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ {
	case reflect.TypeFor[xlator.Default]():
		return
	case reflect.TypeFor[xlator.Intercept](), reflect.TypeFor[xlator.Observe]():
		fops["*"] = true
		return
	}
	for name := range declared(t, typ) {
		if _, ok := reflect.TypeFor[xlator.Fops]().MethodByName(name); ok {
			fops[name] = true
		}
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	for f := range typ.Fields() {
		if f.Anonymous && f.Type.Kind() != reflect.Interface {
			collect(t, f.Type, fops)
		}
	}
}

const module = "github.com/holdfast/holdfast/xlator"

// declared returns the names of the methods that the source of typ's package
// declares for it.
func declared(t *testing.T, typ reflect.Type) map[string]bool {
	t.Helper()
	methods := map[string]bool{}
	rest, ours := strings.CutPrefix(typ.PkgPath(), module)
	if !ours {
		return methods
	}
	dir := filepath.Join("..", rest)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && receiver(f) == strings.Split(typ.Name(), "[")[0] {
				methods[f.Name.Name] = true
			}
		}
	}
	return methods
}

// receiver is the name of the type that a method is of.
func receiver(f *ast.FuncDecl) string {
	e := f.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
