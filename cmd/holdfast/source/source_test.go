package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator/all"
)

func types(f *volfile.File) string {
	var ts []string
	for _, v := range f.Volumes {
		ts = append(ts, v.Type[strings.IndexByte(v.Type, '/')+1:])
	}
	return strings.Join(ts, " ")
}

func TestDefaultGraph(t *testing.T) {
	f, err := DefaultGraph("/data/my home", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := types(f), "posix locks write-behind md-cache io-stats"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.Top().Name != "my_home" {
		t.Errorf("top is %s", f.Top().Name)
	}
	if d, _ := f.Volumes[0].Option("directory"); d != "/data/my home" {
		t.Errorf("directory is %q", d)
	}
}

func TestSettingsShapeTheGraph(t *testing.T) {
	for _, c := range []struct {
		set  Settings
		want string
	}{
		{Settings{"performance.write-behind": "off"}, "posix locks md-cache io-stats"},
		{Settings{"performance.stat-prefetch": "no", "performance.write-behind": "disable"}, "posix locks io-stats"},
		{Settings{"performance.write-behind": "on"}, "posix locks write-behind md-cache io-stats"},
		{Settings{"performance.io-cache": "on", "performance.quick-read": "on", "performance.open-behind": "on", "performance.read-ahead": "on",
			"performance.readdir-ahead": "on", "performance.nl-cache": "on", "performance.client-io-threads": "on", "features.ctime": "on"},
			"posix locks utime write-behind read-ahead readdir-ahead io-cache open-behind quick-read nl-cache md-cache io-threads io-stats"},
	} {
		f, err := DefaultGraph("/data/x", c.set)
		if err != nil {
			t.Fatal(err)
		}
		if got := types(f); got != c.want {
			t.Errorf("%v: got %s, want %s", c.set, got, c.want)
		}
		for i, v := range f.Volumes[1:] {
			if len(v.Subvolumes) != 1 || v.Subvolumes[0] != f.Volumes[i].Name {
				t.Errorf("%s is above %v", v.Name, v.Subvolumes)
			}
		}
	}
}

func TestSettingsBecomeOptions(t *testing.T) {
	f, err := DefaultGraph("/data/x", Settings{
		"performance.md-cache-timeout": "5", "performance.cache-size": "64MB", "performance.quick-read-cache-size": "16MB",
		"performance.io-cache": "on", "performance.quick-read": "on", "diagnostics.client-log-level": "DEBUG",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ volume, key, want string }{
		{"x-md-cache", "md-cache-timeout", "5"}, {"x-io-cache", "cache-size", "64MB"},
		{"x-quick-read", "cache-size", "16MB"}, {"x", "log-level", "DEBUG"},
	} {
		if got, _ := f.Lookup(c.volume).Option(c.key); got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.key, c.volume, got, c.want)
		}
	}
}

func TestGraphIsTheSameForTheSameSettings(t *testing.T) {
	set := Settings{"performance.md-cache-timeout": "5", "performance.aggregate-size": "64KB", "performance.flush-behind": "off",
		"performance.write-behind-window-size": "2MB", "performance.strict-o-direct": "on"}
	first, err := DefaultGraph("/data/x", set)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		f, err := DefaultGraph("/data/x", set)
		if err != nil || !bytes.Equal(f.Format(), first.Format()) {
			t.Fatalf("%v\n%s", err, f.Format())
		}
	}
}

func TestEverySettingHasADeclaredTarget(t *testing.T) {
	for k, targets := range settings {
		for _, tg := range targets {
			typ := all.Find(tg.typ)
			if typ == nil {
				t.Errorf("%s: there is no %s", k, tg.typ)
				continue
			}
			if tg.option == "" {
				continue
			}
			if _, ok := typ.FindOption(tg.option); !ok {
				t.Errorf("%s: %s has no option %s", k, tg.typ, tg.option)
			}
		}
	}
}

func TestChangeOfSettingsIsAllOrNothing(t *testing.T) {
	old := Settings{"performance.write-behind": "off"}
	_, err := old.Change(all.Find, [][2]string{{"performance.stat-prefetch", "off"}, {"performance.write-behnd", "on"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "did you mean performance.write-behind?") {
		t.Error(err)
	}
	if len(old) != 1 {
		t.Errorf("%v", old)
	}
	got, err := old.Change(all.Find, [][2]string{{"performance.stat-prefetch", "off"}}, []string{"performance.write-behind"})
	if err != nil || len(got) != 1 || got["performance.stat-prefetch"] != "off" || len(old) != 1 {
		t.Errorf("%v %v", got, err)
	}
	if got, err = old.Change(all.Find, nil, []string{ResetAll}); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func TestBadSettingsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"write-behind", "on", "did you mean performance.write-behind?"},
		{"features.write-behind", "on", "did you mean performance.write-behind?"},
		{"zzz.qqq.xxxxx", "on", "`holdfast set MOUNTPOINT` lists them"},
		{"performance.write-behind", "maybe", `"maybe" is neither on nor off`},
		{"performance.md-cache-timeout", "soon", `option md-cache-timeout: "soon" is not a`},
		{"performance.md-cache-timeout", "601", "between 0 and 600"},
		{"performance.write-behind-window-size", "1XB", "is not a size"},
	} {
		_, err := Settings{}.Change(all.Find, [][2]string{{c.key, c.value}}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %q", c.key, c.value, err, c.want)
		}
	}
	if _, err := (Settings{}).Change(all.Find, nil, []string{"nope"}); err == nil {
		t.Error("an unknown key was reset")
	}
}

func TestSettingsAreKept(t *testing.T) {
	dir := t.TempDir()
	if s, err := LoadSettings(dir); err != nil || len(s) != 0 {
		t.Errorf("%v %v", s, err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".glusterfs"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := Settings{"performance.write-behind": "off"}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	s, err := LoadSettings(dir)
	if err != nil || len(s) != 1 || s["performance.write-behind"] != "off" {
		t.Errorf("%v %v", s, err)
	}
	if err := os.WriteFile(settingsPath(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSettings(dir); err == nil || !strings.Contains(err.Error(), "holdfast.options") {
		t.Error(err)
	}
}

func TestWhatIsNoSourceIsRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	txt := write("graph.txt", "")
	for name, want := range map[string]string{
		"":               "empty",
		txt:              "does not end in .vol",
		dir + "/nope":    "no such file",
		"server:/":       "the volume is missing",
		"server:/vol/..": ".. has no place in it",
		"/dev/null":      "neither a directory nor a .vol file",
		txt + "/deeper":  "not a directory",
	} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
	vol := write("graph.vol", "volume x\n type storage/posix\n option directory /data\nend-volume\n")
	src, err := Open(vol)
	if err != nil {
		t.Fatal(err)
	}
	f, err := src.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if b := Bricks(f); len(b) != 1 || b[0] != "/data" {
		t.Errorf("%v", b)
	}
	if src, err = Open(write("bad.vol", "volume x\n type\nend-volume\n")); err != nil {
		t.Fatal(err)
	}
	if _, err = src.Load(nil); err == nil || !strings.Contains(err.Error(), "bad.vol:") {
		t.Error(err)
	}
}

func TestOddDirectoryNamesMakeGraphs(t *testing.T) {
	for dir, name := range map[string]string{
		"/": "root", "/data/a`b": "a_b", `/data/q"uo\te`: "q_uo_te", "/data/\xff\xfe": "__", "/data/#x": "_x",
	} {
		f, err := DefaultGraph(dir, nil)
		if err != nil {
			t.Errorf("%q: %v", dir, err)
			continue
		}
		if f.Top().Name != name {
			t.Errorf("%q: top is %q, want %q", dir, f.Top().Name, name)
		}
		if d, _ := f.Volumes[0].Option("directory"); d != dir {
			t.Errorf("directory is %q, want %q", d, dir)
		}
	}
}
