package xlator

import "testing"

func TestFormatSizeIsReadBack(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1: "1B", 1023: "1023B", 1024: "1KB", 1536: "1536B", 4 << 20: "4MB", 3 << 40: "3TB", 1 << 60: "1024PB"} {
		got := FormatSize(n)
		if back, err := ParseSize(got); got != want || err != nil || back != n {
			t.Errorf("%d: %s, read as %d, %v", n, got, back, err)
		}
	}
}

func TestOptionSaysWhatItAccepts(t *testing.T) {
	for want, o := range map[string]Option{
		"text":                     {},
		"a, b":                     {Values: []string{"a", "b"}},
		"size from 4KB to 1MB":     {Kind: KindSize, Min: 4096, Max: 1 << 20},
		"time from 0 to 600 s":     {Kind: KindTime, Max: 600, Unit: " s"},
		"whole number from 1 to 4": {Kind: KindInt, Min: 1, Max: 4},
		"absolute path":            {Kind: KindPath},
	} {
		if got := o.Accepts(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestIsDefaultGoesByMeaning(t *testing.T) {
	typ := &Type{Options: []Option{
		{Name: "b", Alias: []string{"bool"}, Kind: KindBool, Default: "on"}, {Name: "s", Kind: KindSize, Default: "1MB"},
		{Name: "t", Default: "x"}, {Name: "n", Kind: KindInt},
	}}
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"b", "yes", true}, {"bool", "1", true}, {"b", "off", false}, {"s", "1024KB", true}, {"s", "2MB", false},
		{"t", "x", true}, {"t", "y", false}, {"n", "0", false}, {"n", "", true}, {"unknown", "", false}, {"s", "nonsense", false},
	} {
		if got := typ.IsDefault(c.name, c.text); got != c.want {
			t.Errorf("%s %q: %v", c.name, c.text, got)
		}
	}
}
