package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blocks returns the lines of a page that stand between fences.
func blocks(t *testing.T, page string) (lines []string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	in := false
	for l := range strings.Lines(string(b)) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "```") {
			in = !in
		} else if in && l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// TestQuickStartWorks runs the page as it stands, in other places and with a
// shorter file.
func TestQuickStartWorks(t *testing.T) {
	w := newWorld(t)
	script := "set -ex\n"
	for _, l := range blocks(t, "../../docs/quickstart.md") {
		if strings.HasPrefix(l, "make ") || strings.HasPrefix(l, "/srv/data ") {
			continue // another test; a line of fstab
		}
		if strings.Contains(l, "server1") || strings.HasPrefix(l, "gluster ") {
			continue // tests/glusterd has one
		}
		script += l + "\n"
	}
	for _, r := range [][2]string{
		{"/srv/data", w.brick}, {"/mnt/data", w.mnt}, {"count=50000", "count=200"},
		{"bin/holdfast mount", binary + " mount --log-file " + w.log}, {"bin/holdfast", binary},
	} {
		script = regexp.MustCompile(`(^|[\s=(])`+regexp.QuoteMeta(r[0])).ReplaceAllString(script, "${1}"+r[1])
	}
	c := exec.CommandContext(t.Context(), "sh", "-c", script)
	c.Dir = w.dir
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
		return
	}
	if !strings.Contains(out.String(), "switched to a new graph") {
		t.Errorf("%s", out.String())
	}
	w.gone()
}

// TestPagesNameOnlyWhatThereIs: every command line in the pages is one.
func TestPagesNameOnlyWhatThereIs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob("../../docs/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("%q %v", units, err)
	}
	pages = append(pages, units...)
	command := regexp.MustCompile("(?:^|`|=/usr/local/)(?:bin/)?holdfast ([a-z]+)([^`#]*)")
	flags := regexp.MustCompile(`--[a-z-]+`)
	help := map[string]string{}
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			for _, m := range command.FindAllStringSubmatch(l, -1) {
				name := m[1]
				if help[name] == "" {
					out, err := exec.Command(binary, name, "--help").Output()
					if err != nil || !bytes.Contains(out, []byte("holdfast "+name)) {
						t.Errorf("%s: there is no command %s (%v)", page, name, err)
						continue
					}
					help[name] = string(out)
				}
				for _, f := range flags.FindAllString(m[2], -1) {
					if !strings.Contains(help[name], f) {
						t.Errorf("%s: holdfast %s has no %s", page, name, f)
					}
				}
			}
		}
	}
}
