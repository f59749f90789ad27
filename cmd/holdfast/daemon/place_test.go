package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogIsNamedAfterTheMountPoint(t *testing.T) {
	for mnt, want := range map[string]string{
		"/mnt/data":     LogDir + "/mnt-data.log",
		"/mnt/data/":    LogDir + "/mnt-data.log",
		"/mnt/a b//c/.": LogDir + "/mnt-a b-c.log",
		"/":             LogDir + "/root.log",
	} {
		if got := LogPath(mnt); got != want {
			t.Errorf("%s: got %s, want %s", mnt, got, want)
		}
	}
}

func TestMountPointIsChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "does not exist",
		file:                          "is not a directory",
		filepath.Join(file, "deeper"): "not a directory",
	} {
		if _, err := checkMountpoint(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if got, err := checkMountpoint(link); err != nil || got != dir {
		t.Errorf("%s %v", got, err)
	}
}

func TestMountAndBrickAreApart(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"a/b", "ab", "a..b"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(root, "link")
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	at := func(p string) string { return filepath.Join(root, p) }
	for _, c := range []struct{ mountpoint, brick, want string }{
		{at("a"), at("a"), "cannot be mounted on itself"},
		{at("a"), link, "cannot be mounted on itself"},
		{at("a/b"), at("a"), "is inside the brick"},
		{at("a/b"), link, "is inside the brick"},
		{at("a"), at("a/b"), "which would hide it"},
		{"/", at("a"), "which would hide it"},
		{at("a"), at("ab"), ""},
		{at("ab"), at("a"), ""},
		{at("a"), at("a..b"), ""},
		{at("a"), at("missing"), ""}, // the translator says it
	} {
		err := checkApart(c.mountpoint, []string{c.brick})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("brick %s on %s: got %v, want %q", c.brick, c.mountpoint, err, c.want)
		}
	}
}

func TestLogIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "x.log")
	l, err := newLogOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Write([]byte("one\n"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Write([]byte("two\n"))
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Write([]byte("three\n"))
	for p, want := range map[string]string{path + ".1": "one\ntwo\n", path: "three\n"} {
		if b, err := os.ReadFile(p); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", p, b, err)
		}
	}
}
