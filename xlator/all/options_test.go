package all_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

func TestOptionsPageIsUpToDate(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Options of the translators\n\n" + generated)
	b.WriteString("*Change* says what a new value takes: *live* is reconfigured in place, *graph* is a switch to a new graph.\n" +
		"*Ignored* options are accepted, checked and without effect; they never cause a switch.\n" +
		"An option that is not listed is a warning.\n")
	for _, typ := range byName(all.Types()) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", typ.Name, typ.Summary)
		if len(typ.Options) == 0 {
			b.WriteString("\nNo options.\n")
			continue
		}
		b.WriteString("\n| option | value | default | change | |\n|---|---|---|---|---|\n")
		for i := range typ.Options {
			b.WriteString(optionRow(&typ.Options[i]))
		}
	}
	golden(t, "options.md", b.String())
}

func byName(types []*xlator.Type) []*xlator.Type {
	sort.Slice(types, func(i, j int) bool { return types[i].Name < types[j].Name })
	return types
}

func optionRow(o *xlator.Option) string {
	name := "`" + o.Name + "`"
	for _, a := range o.Alias {
		name += ", `" + a + "`"
	}
	change := "graph"
	switch {
	case o.Ignored:
		change = "ignored"
	case o.Live:
		change = "live"
	}
	def := ""
	if o.Default != "" {
		def = "`" + o.Default + "`"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, cell(o.Accepts()), def, change, cell(sentence(o.Help)))
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// cell makes text fit for a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ")
}
