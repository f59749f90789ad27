package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator/all"
)

// run executes the command line in this process.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	c := newRoot(all.Find)
	if filepath.Base(args[0]) == helperName {
		c = newMountHelper(all.Find)
	}
	c.SetArgs(args[1:])
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestVersion(t *testing.T) {
	out, _, err := run(t, "holdfast", "version", "--json")
	var v Version
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || v.Version == "" || v.Go == "" {
		t.Errorf("%s %v", out, err)
	}
	if out, _, err = run(t, "holdfast", "version"); err != nil || !strings.HasPrefix(out, "holdfast ") {
		t.Errorf("%s %v", out, err)
	}
}

func TestCommandsSayThatThereIsNoMount(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"umount", dir}, {"reload", dir}, {"set", dir}, {"set", dir, "a", "b"}, {"status", dir}, {"dump", dir},
	} {
		_, _, err := run(t, append([]string{"holdfast"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "not a holdfast mount") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		want string
	}{
		{"holdfast mount one", "accepts 2 arg(s)"},
		{"holdfast mount one two three", "accepts 2 arg(s)"},
		{"holdfast mount DIR DIR -o bogus", "unknown mount option bogus"},
		{"holdfast mount DIR DIR --log-level LOUD", `"LOUD" is not a log level`},
		{"holdfast set DIR performance.write-behind", "performance.write-behind has no value"},
		{"holdfast nonsense", "unknown command"},
		{"holdfast status", "accepts 1 arg(s)"},
		{"mount.holdfast DIR", "accepts 2 arg(s)"},
		{"mount.holdfast DIR DIR -o ro,bogus", "unknown mount option bogus"},
		{"mount.holdfast DIR DIR -t ext4", "type ext4 is not holdfast"},
		{"mount.holdfast DIR DIR -N 123", "use nsenter(1)"},
		{"mount.holdfast DIR DIR -f -o remount", "remount is not supported"},
	} {
		_, _, err := run(t, strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
		if e, ok := errors.AsType[*exitError](err); ok {
			t.Errorf("%s: exit code %d for wrong usage", c.args, e.code)
		}
	}
}

func TestFakeMountChecksAndDoesNothing(t *testing.T) {
	dir := t.TempDir()
	out, errs, err := run(t, "mount.holdfast", dir, dir, "-sfnv", "-t", "holdfast", "-o", "rw,_netdev,x-systemd.automount,bogus")
	if err != nil || out != "" || errs != "" {
		t.Errorf("%q %q %v", out, errs, err)
	}
	_, _, err = run(t, "mount.holdfast", filepath.Join(dir, "missing"), dir, "-f")
	if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitMount {
		t.Errorf("%v", err)
	}
}

func TestErrorIsOneLine(t *testing.T) {
	err := errors.Join(errors.New("first\n"), errors.New("second"))
	if got := oneLine("holdfast", err); got != "holdfast: first; second" {
		t.Errorf("%q", got)
	}
}

func TestGraphOfADirectoryAndOfAFile(t *testing.T) {
	dir := t.TempDir()
	out, _, err := run(t, "holdfast", "graph", dir)
	if err != nil || !strings.Contains(out, "debug/io-stats") || !strings.Contains(out, "storage/posix") {
		t.Errorf("%s %v", out, err)
	}
	if out, _, err = run(t, "holdfast", "graph", dir, "--format", "dot"); err != nil || !strings.HasPrefix(out, "digraph") {
		t.Errorf("%s %v", out, err)
	}
	volfile, _, err := run(t, "holdfast", "graph", dir, "--format", "volfile")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x.vol")
	if err := os.WriteFile(file, []byte(volfile), 0o600); err != nil {
		t.Fatal(err)
	}
	again, _, err := run(t, "holdfast", "graph", file, "--format", "volfile")
	if err != nil || again != volfile {
		t.Errorf("%s %v", again, err)
	}
	var vs []jsonVolume
	out, _, err = run(t, "holdfast", "graph", file, "--json")
	if err != nil || json.Unmarshal([]byte(out), &vs) != nil || len(vs) < 3 || vs[0].Type != "storage/posix" {
		t.Errorf("%s %v", out, err)
	}
	if _, _, err = run(t, "holdfast", "graph", dir, "--format", "png"); err == nil {
		t.Error("format png")
	}
	if _, _, err = run(t, "holdfast", "graph", filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "neither a holdfast mount") {
		t.Error(err)
	}
}

func TestGraphNamesWhatCannotBeMounted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.vol")
	for text, want := range map[string]string{
		"volume a\n type storage/posix\n option directory relative\nend-volume\n":          "x.vol:3:",
		"volume a\n type storage/nonsense\nend-volume\n":                                   "storage/nonsense",
		"volume a\n type storage/posix\n option directory /d\n subvolumes b\nend-volume\n": "x.vol:4:",
		"": "x.vol",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := run(t, "holdfast", "graph", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestStatusIsReadable(t *testing.T) {
	s := daemon.Status{Fops: map[string]daemon.FopStatus{"WRITEV": {Count: 12, P50US: 33.4}}}
	s.Mount.Source, s.Mount.Mountpoint = "/data/x", "/mnt/x"
	s.Graph.Generation, s.Graph.State, s.Graphs.Live = 3, "serving", 1
	s.Reload.Error, s.Reload.By = "x.vol:3: no", "watch"
	var b bytes.Buffer
	if err := printStatus(&b, &s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/data/x on /mnt/x", "generation 3, serving", "x.vol:3: no (watch", "WRITEV"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestStatusHasTheFieldsPromised(t *testing.T) {
	b, err := json.Marshal(daemon.Status{Fops: map[string]daemon.FopStatus{"WRITEV": {}}})
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]map[string]any
	if err := json.Unmarshal(b, &top); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"graph.generation", "graph.state", "graph.volume_id", "graphs.live", "switch.count", "switch.failed", "switch.last_ms",
		"files.open", "files.pending", "files.held", "files.pinned", "files.moved", "locks.held", "locks.lost",
		"process.pid", "process.rss_bytes", "process.goroutines", "fops.WRITEV"} {
		group, field, _ := strings.Cut(path, ".")
		if _, ok := top[group][field]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
	for _, field := range []string{"count", "errors", "p50_us", "p90_us", "p99_us", "max_us"} {
		if _, ok := top["fops"]["WRITEV"].(map[string]any)[field]; !ok {
			t.Errorf("fops.WRITEV.%s is missing", field)
		}
	}
}

func TestResultIsReadable(t *testing.T) {
	var out, warn bytes.Buffer
	printResult(&out, &warn, graph.Result{Generation: 4, Action: "switched", Phases: []graph.PhaseTime{{Name: "build", Took: 1500000}}, Warnings: []string{"odd"}})
	if want := "generation 4: switched to a new graph\n  build        1.5ms\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if warn.String() != "warning: odd\n" {
		t.Errorf("%q", warn.String())
	}
}
