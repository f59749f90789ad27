package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// table prints rows as they come, aligned at the end.
type table struct{ w *tabwriter.Writer }

func newTable(title string, columns ...string) *table {
	fmt.Printf("\n%s\n\n", title)
	t := &table{tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")+"\t") }

func (t *table) end() { t.w.Flush() }

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
