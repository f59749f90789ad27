package mountopt

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

func seconds(v xlator.Value) time.Duration { return time.Duration(v.Num * float64(time.Second)) }

// placeholder stands for a value in messages and help.
func (d *Option) placeholder() string {
	if len(d.Values) > 0 {
		return strings.Join(d.Values, "|")
	}
	switch d.Kind {
	case xlator.KindBool:
		return "on|off"
	case xlator.KindTime:
		return "SECONDS"
	case xlator.KindSize:
		return "SIZE"
	case xlator.KindInt:
		return "N"
	case xlator.KindPath:
		return "/PATH"
	}
	return "VALUE"
}

// usage is how the option is written, by each of its names.
func (d *Option) usage() string {
	var all []string
	for _, name := range append([]string{d.Name}, d.Alias...) {
		all = append(all, name+d.argument())
	}
	return strings.Join(all, ", ")
}

// argument is what stands behind the name.
func (d *Option) argument() string {
	switch {
	case d.prefix:
		return "*"
	case d.Refused != "" || d.Arg == NoArg:
		return ""
	case d.Arg == MayArg && d.Kind == xlator.KindBool:
		return "[=" + d.placeholder() + "]"
	case d.Arg == MayArg:
		return "[=...]"
	}
	return "=" + d.placeholder()
}

func (d *Option) text() string {
	s := d.Help
	if d.Refused != "" {
		s = "refused: " + d.Refused
	}
	if d.Default != "" {
		s += " (" + d.Default + ")"
	}
	return s
}

// row is one line of help: options that say the same share it.
type row struct{ usage, text string }

func rows(g Group) []row {
	var rs []row
	for i := range table {
		d := &table[i]
		if d.group() != g {
			continue
		}
		u, t := d.usage(), d.text()
		if n := len(rs); n > 0 && rs[n-1].text == t {
			rs[n-1].usage += ", " + u
			continue
		}
		rs = append(rs, row{u, t})
	}
	return rs
}

func (d *Option) group() Group {
	if d.Group == "" {
		return Own
	}
	return d.Group
}

var groups = []struct {
	group Group
	title string
}{
	{Own, "Holdfast's own"},
	{Gluster, "As in mount.glusterfs(8)"},
	{Mount8, "As in mount(8)"},
}

// Help is the text for `holdfast mount --help`.
func Help() string {
	var b strings.Builder
	b.WriteString("Mount options (-o):\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n  %s:\n", g.title)
		for _, r := range rows(g.group) {
			b.WriteString(wrap(r.usage, "    ", "    "))
			b.WriteString(wrap(r.text, "        ", "        "))
		}
	}
	return b.String()
}

// Page is docs/mount-options.md.
func Page() string {
	var b strings.Builder
	b.WriteString("# Mount options\n\nWhat may stand after `-o` of `holdfast mount`, `mount -t holdfast` and in the fourth field of `/etc/fstab`.\nGenerated from the table in `cmd/holdfast/mountopt`; a test compares.\n\n" +
		"Booleans are `on yes true enable 1` or `off no false disable 0`. Times are seconds or carry a unit (`500` `5min` `1d`).\nSizes are bytes or carry one (`512KB`, `1MB`), in steps of 1024.\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| option | meaning (default) |\n|---|---|\n", g.title)
		for _, r := range rows(g.group) {
			var us []string
			for _, u := range strings.Split(r.usage, ", ") {
				us = append(us, "`"+strings.ReplaceAll(u, "|", "\\|")+"`")
			}
			fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(us, " "), strings.ReplaceAll(r.text, "|", "\\|"))
		}
	}
	return b.String()
}

// wrap breaks text at 96 columns.
func wrap(text, first, rest string) string {
	var b strings.Builder
	line := first
	for i, w := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(w) > 96 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = rest + w
			continue
		}
		if i > 0 {
			line += " "
		}
		line += w
	}
	b.WriteString(line + "\n")
	return b.String()
}

// didYouMean names the nearest known option, if one is near.
func didYouMean(name string) string {
	var names []string
	for i := range table {
		if !table[i].prefix {
			names = append(names, table[i].Name)
		}
	}
	if n := Nearest(name, names); n != "" {
		return " (did you mean " + n + "?)"
	}
	return ""
}

// Nearest returns the candidate that takes the fewest edits to become name, or
// "" when none is within a third of its length.
func Nearest(name string, candidates []string) string {
	best, at := "", len(name)/3+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(name, c); d < at {
			best, at = c, d
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
