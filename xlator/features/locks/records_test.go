package locks

import (
	"fmt"
	"strings"
	"testing"
)

// scan reads "1:w 0-9" (owner 1, write, bytes 0 to 9); mode u unlocks and an
// end of $ is the end of the file.
func scan(t *testing.T, s string) claim {
	t.Helper()
	var c claim
	var m rune
	var end string
	if _, err := fmt.Sscanf(s, "%d:%c %d-%s", &c.owner, &m, &c.start, &end); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	c.mode = map[rune]mode{'u': unlocked, 'r': shared, 'w': exclusive}[m]
	if c.end = endOfFile; end != "$" {
		if _, err := fmt.Sscan(end, &c.end); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	}
	return c
}

// show is the inverse of scan for all locks that are held.
func show(h holdings) string {
	var out []string
	for c := range h.all() {
		out = append(out, showClaim(c))
	}
	return strings.Join(out, ", ")
}

func showClaim(c claim) string {
	return fmt.Sprintf("%d:%c %s", c.owner, "urw"[c.mode], strings.ReplaceAll(c.extent(), "eof", "$"))
}

func TestRecordLocksSplitMergeAndReplaceAsPOSIXSays(t *testing.T) {
	cases := []struct{ name, steps, want string }{
		{"one", "1:w 5-9", "1:w 5-9"},
		{"same again", "1:w 5-9; 1:w 5-9", "1:w 5-9"},
		{"inside is swallowed", "1:w 0-9; 1:w 3-4", "1:w 0-9"},
		{"around swallows", "1:w 3-4; 1:w 0-9", "1:w 0-9"},
		{"touching after", "1:w 0-4; 1:w 5-9", "1:w 0-9"},
		{"touching before", "1:w 5-9; 1:w 0-4", "1:w 0-9"},
		{"touching another mode", "1:w 0-4; 1:r 5-9", "1:w 0-4, 1:r 5-9"},
		{"touching before another mode", "1:r 5-9; 1:w 0-4", "1:w 0-4, 1:r 5-9"},
		{"gap of one byte", "1:w 0-4; 1:w 6-9", "1:w 0-4, 1:w 6-9"},
		{"gap filled", "1:w 0-4; 1:w 6-9; 1:w 5-5", "1:w 0-9"},
		{"gap filled otherwise", "1:w 0-4; 1:w 6-9; 1:r 5-5", "1:w 0-4, 1:r 5-5, 1:w 6-9"},
		{"overlap", "1:r 0-5; 1:r 4-9", "1:r 0-9"},
		{"overlap of another mode", "1:r 0-5; 1:w 4-9", "1:r 0-3, 1:w 4-9"},
		{"bridges many", "1:r 0-1; 1:r 4-5; 1:w 7-8; 1:r 1-9", "1:r 0-9"},
		{"split by downgrade", "1:w 0-9; 1:r 4-5", "1:w 0-3, 1:r 4-5, 1:w 6-9"},
		{"split by upgrade", "1:r 0-9; 1:w 0-0", "1:w 0-0, 1:r 1-9"},
		{"whole upgraded", "1:r 0-9; 1:w 0-9", "1:w 0-9"},
		{"healed by the same mode", "1:w 0-9; 1:r 4-5; 1:w 4-5", "1:w 0-9"},
		{"unlock middle", "1:w 0-9; 1:u 4-5", "1:w 0-3, 1:w 6-9"},
		{"unlock first byte", "1:w 0-9; 1:u 0-0", "1:w 1-9"},
		{"unlock last byte", "1:w 0-9; 1:u 9-9", "1:w 0-8"},
		{"unlock all", "1:w 0-9; 1:u 0-$", ""},
		{"unlock nothing", "1:w 0-9; 1:u 10-$", "1:w 0-9"},
		{"unlock touching", "1:w 5-9; 1:u 0-4", "1:w 5-9"},
		{"unlock without a lock", "1:u 0-$", ""},
		{"unlock across several", "1:w 0-2; 1:r 4-6; 1:w 8-9; 1:u 2-8", "1:w 0-1, 1:w 9-9"},
		{"to the end", "1:w 100-$", "1:w 100-$"},
		{"to the end, split", "1:w 0-$; 1:u 10-19", "1:w 0-9, 1:w 20-$"},
		{"to the end, merged", "1:w 0-9; 1:w 10-$", "1:w 0-$"},
		{"to the end, tail first", "1:r 10-$; 1:w 0-$", "1:w 0-$"},
		{"last byte there is", "1:w 9223372036854775806-9223372036854775806; 1:r 0-5", "1:r 0-5, 1:w 9223372036854775806-9223372036854775806"},
		{"last byte and the end", "1:w 9223372036854775806-9223372036854775806; 1:w 9223372036854775807-$", "1:w 9223372036854775806-$"},
		{"owners do not merge", "1:r 0-4; 2:r 5-9; 3:r 0-9", "1:r 0-4, 2:r 5-9, 3:r 0-9"},
		{"owner's unlock leaves others", "1:r 0-9; 2:r 0-9; 1:u 0-$", "2:r 0-9"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var r records
			for _, s := range strings.Split(c.steps, "; ") {
				r.set(scan(t, s))
			}
			if got := show(&r); got != c.want {
				t.Errorf("after %s:\n got %s\nwant %s", c.steps, got, c.want)
			}
		})
	}
}

func TestFirstBlockerIsTheOneThatStartsLowest(t *testing.T) {
	cases := []struct{ held, want, by string }{
		{"", "1:w 0-9", ""},
		{"1:w 0-9", "1:w 0-9", ""},
		{"1:r 0-9", "2:r 0-9", ""},
		{"1:r 0-9", "2:w 9-9", "1:r 0-9"},
		{"1:w 0-9", "2:r 0-0", "1:w 0-9"},
		{"1:w 0-9", "2:r 10-$", ""},
		{"1:w 5-6; 1:w 1-2", "2:r 0-$", "1:w 1-2"},
		{"1:w 5-6; 2:w 1-2; 3:w 8-9", "4:w 0-$", "2:w 1-2"},
		{"1:w 5-6; 2:w 1-2; 3:w 8-9", "2:w 0-$", "1:w 5-6"},
		{"1:r 0-3; 1:w 5-6; 2:w 7-8", "3:r 0-$", "1:w 5-6"},
		{"2:r 0-3; 1:r 0-5", "3:w 2-2", "1:r 0-5"},
	}
	for _, c := range cases {
		var r records
		for _, s := range strings.FieldsFunc(c.held, func(r rune) bool { return r == ';' }) {
			r.set(scan(t, strings.TrimSpace(s)))
		}
		got := ""
		if by, ok := r.blocker(scan(t, c.want)); ok {
			got = showClaim(by)
		}
		if got != c.by {
			t.Errorf("%s, asked for %s: first in the way is %q, want %q", c.held, c.want, got, c.by)
		}
	}
}
