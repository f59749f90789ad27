package source

import (
	"strings"
	"testing"
)

const fetched = `volume one-client-0
    type protocol/client
    option remote-host server
    option remote-subvolume /bricks/one
end-volume

volume one
    type debug/io-stats
    subvolumes one-client-0
end-volume
`

func TestVolumeOfAServerIsASource(t *testing.T) {
	for name, want := range map[string]string{
		"server:/vol": "server:/vol", "server:vol/sub/": "server:/vol/sub", "a,[::1]://vol": "a,[::1]:/vol",
	} {
		src, err := Open(name)
		if err != nil || src.Remote != want || src.String() != want {
			t.Errorf("%s: %+v %v", name, src, err)
		}
		if _, err := src.Load(nil); err == nil {
			t.Errorf("%s was loaded without being fetched", name)
		}
	}
}

func TestFetchedVolfileIsNamedByItsSource(t *testing.T) {
	src, err := Open("server:/one")
	if err != nil {
		t.Fatal(err)
	}
	f, err := src.Parse(fetched)
	if err != nil || f.Name != "server:/one" || string(f.Format()) != fetched {
		t.Errorf("%v\n%s", err, f.Format())
	}
	if _, err = src.Parse("volume x\n type\nend-volume\n"); err == nil || !strings.Contains(err.Error(), "server:/one:3:") {
		t.Error(err)
	}
}

func TestDirectoryOfAVolumeIsToldToItsBricks(t *testing.T) {
	src, err := Open(`server:/one/a dir/with "quotes"`)
	if err != nil {
		t.Fatal(err)
	}
	f, err := src.Parse(fetched)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Lookup("one-client-0").Option("subdir-mount"); got != `/a dir/with "quotes"` {
		t.Errorf("%q", got)
	}
	if _, ok := f.Lookup("one").Option("subdir-mount"); ok {
		t.Error("io-stats was told")
	}
	if _, err = src.Parse("volume x\n type debug/io-stats\nend-volume\n"); err == nil {
		t.Error("a graph without bricks has a directory")
	}
}

func TestSubdirOfTheMountOptions(t *testing.T) {
	for _, c := range []struct{ source, subdir, want string }{
		{"s:/v", "", "s:/v"}, {"s:/v", "/a", "s:/v/a"}, {"s:/v/a", "/a", "s:/v/a"}, {"s:/v/a", "/b", ""}, {"/", "/b", ""},
	} {
		src, err := Open(c.source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := src.Below(c.subdir)
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("%s below %s: %s %v", c.subdir, c.source, got, err)
		}
	}
}
