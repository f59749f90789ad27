package glusterd

import (
	"reflect"
	"strings"
	"testing"
)

func TestSourcesOfVolumes(t *testing.T) {
	for _, c := range []struct {
		source string
		want   Volume
		normal string
	}{
		{"host:/vol", Volume{[]string{"host"}, "vol", ""}, "host:/vol"},
		{"host:vol", Volume{[]string{"host"}, "vol", ""}, "host:/vol"},
		{"host://vol/", Volume{[]string{"host"}, "vol", ""}, "host:/vol"},
		{"host:/vol/sub/dir", Volume{[]string{"host"}, "vol", "/sub/dir"}, "host:/vol/sub/dir"},
		{"host:vol/sub//dir/./", Volume{[]string{"host"}, "vol", "/sub/dir"}, "host:/vol/sub/dir"},
		{"a,b.example.org,10.0.0.1:/vol", Volume{[]string{"a", "b.example.org", "10.0.0.1"}, "vol", ""}, "a,b.example.org,10.0.0.1:/vol"},
		{"[2001:db8::1]:/vol", Volume{[]string{"2001:db8::1"}, "vol", ""}, "[2001:db8::1]:/vol"},
		{"[::1]:vol/x", Volume{[]string{"::1"}, "vol", "/x"}, "[::1]:/vol/x"},
		{"2001:db8::1:/vol", Volume{[]string{"2001:db8::1"}, "vol", ""}, "[2001:db8::1]:/vol"},
		{"[::1],b:/vol", Volume{[]string{"::1", "b"}, "vol", ""}, "[::1],b:/vol"},
		{"[fe80::1%eth0]:/vol", Volume{[]string{"fe80::1%eth0"}, "vol", ""}, "[fe80::1%eth0]:/vol"},
	} {
		got, err := ParseVolume(c.source)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v %v, want %+v", c.source, got, err, c.want)
			continue
		}
		if !IsVolume(c.source) || got.String() != c.normal {
			t.Errorf("%s: normal form %s, want %s", c.source, got, c.normal)
		}
		if again, err := ParseVolume(c.normal); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: read again: %+v %v", c.normal, again, err)
		}
	}
}

func TestWhatIsNoSourceOfAVolume(t *testing.T) {
	for _, source := range []string{"", "/data", "./host:/vol", "dir/with:colon", "file.vol", ":/vol", ":vol"} {
		if IsVolume(source) {
			t.Errorf("%q is taken for a volume of a server", source)
		}
	}
	for source, want := range map[string]string{
		"host:":              "the volume is missing",
		"host:/":             "the volume is missing",
		"a,,b:/vol":          "a host is missing",
		"ho st:/vol":         "not the name of a host",
		"[::1:/vol":          "not closed",
		"[host]:/vol":        "not an IPv6 address",
		"host:/vol/../x":     ".. has no place in it",
		"host:/v\"ol":        "cannot be the name",
		"host:/vol/a`id`":    "cannot be written in a volfile",
		"host:/vol/a\nb":     "cannot be written in a volfile",
		"user@host:/vol":     "not the name of a host",
		"host:/" + long(256): "cannot be the name",
	} {
		if v, err := ParseVolume(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v %v, want %q", source, v, err, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestListsOfServers(t *testing.T) {
	for list, want := range map[string][]string{
		"a":                 {"a"},
		"a:b:c":             {"a", "b", "c"},
		"[::1]:b:[fe80::2]": {"::1", "b", "fe80::2"},
	} {
		if got, err := ParseServers(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q %v", list, got, err)
		}
	}
	for list, want := range map[string]string{
		"": "no server", "a::b": "a host is missing", "[::1": "not closed", "[::1]b": "separated by colons", "[x]": "not an IPv6", "a/b": "not the name",
	} {
		if got, err := ParseServers(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q %v, want %q", list, got, err, want)
		}
	}
}
