package volfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// samples returns the volfiles that glusterd generated: a set kept here, and
// the full set beside the checkout where that is.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	kept, err := filepath.Glob("testdata/glusterfs-10.3/*.vol")
	if err != nil || len(kept) == 0 {
		t.Fatalf("no sample volfiles: %v", err)
	}
	more, err := filepath.Glob("../../../shared/volfiles/*.vol")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range append(kept, more...) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = src
	}
	return all
}

func mustParse(t testing.TB, src string) *File {
	t.Helper()
	f, err := Parse("t.vol", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGeneratedVolfilesPrintBackByteForByte(t *testing.T) {
	for name, src := range samples(t) {
		f, err := Parse(name, src)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f.Format(); !bytes.Equal(got, src) {
			t.Errorf("%s: printed back differently:\n%s", name, got)
		}
		if len(f.Warnings) > 0 {
			t.Errorf("%s: %v", name, f.Warnings[0])
		}
		dos, err := Parse(name, bytes.ReplaceAll(src, []byte("\n"), []byte("\r\n")))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(dos.Format(), src) {
			t.Errorf("%s: with CRLF it is another file", name)
		}
		if d := Diff(f, f); d.Kind != Same || d.Reason != "" {
			t.Errorf("%s differs from itself: %+v", name, d)
		}
	}
}

const leaf = "volume a\n type t/a\nend-volume\n"

func TestErrorsNameFileAndLine(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", "t.vol:1: there is no volume in this file"},
		{"only comments", "# one\n# two\n", "t.vol:3: there is no volume in this file"},
		{"word at top", "\nfoo", `t.vol:2: expected keyword volume, found "foo"`},
		{"option at top", "option a b", "t.vol:1: expected keyword volume, found keyword option"},
		{"upper case keyword", "Volume a", `t.vol:1: expected keyword volume, found "Volume"`},
		{"longer word is no keyword", "volumes a", `t.vol:1: expected keyword volume, found "volumes"`},
		{"no name", "volume\n\n", "t.vol:3: expected the name of the volume, found the end of the file"},
		{"keyword as name", "volume type", "t.vol:1: expected the name of the volume, found keyword type"},
		{"no type", "volume a\nend-volume", `t.vol:2: volume "a": expected keyword type first, found keyword end-volume`},
		{"type not first", "volume a\noption b c\ntype d", `t.vol:2: volume "a": expected keyword type first, found keyword option`},
		{"two names", "volume a b\ntype c", `t.vol:1: volume "a": expected keyword type first, found "b"`},
		{"type without value", "volume a\ntype\nend-volume", "t.vol:3: expected the type of the volume, found keyword end-volume"},
		{"type of two words", "volume a\ntype b c\nend-volume", `t.vol:2: volume "a": expected option, subvolumes or end-volume, found "c"`},
		{"second type", "volume a\ntype b\ntype c\nend-volume", `t.vol:3: volume "a" has a second type`},
		{"option without key", "volume a\ntype b\noption\nend-volume", "t.vol:4: expected the name of the option, found keyword end-volume"},
		{"option without value", "volume a\ntype b\noption k\nend-volume", `t.vol:4: expected the value of option "k", found keyword end-volume`},
		{"option of three words", "volume a\ntype b\noption k v w\nend-volume", `t.vol:3: option "k" has more than one value: "w"; quote a value with spaces`},
		{"not ended", "volume a\ntype b\n", `t.vol:3: volume "a" of line 1 is not ended by end-volume`},
		{"nested", "volume a\ntype b\nvolume c\n", `t.vol:3: volume inside volume "a" of line 1: end-volume is missing`},
		{"duplicate volume", leaf + leaf, `t.vol:4: volume "a" is defined a second time; the first is on line 1`},
		{"own subvolume", "volume a\ntype b\nsubvolumes a\nend-volume", `t.vol:3: volume "a" is its own subvolume`},
		{"dangling subvolume", leaf + "volume b\ntype c\nsubvolumes a x\nend-volume", `t.vol:6: volume "b": subvolume "x" is not defined above`},
		{"cycle", "volume a\ntype t\nsubvolumes b\nend-volume\nvolume b\ntype t\nsubvolumes a\nend-volume", `t.vol:3: volume "a": subvolume "b" is not defined above`},
		{"subvolumes without names", "volume a\ntype b\nsubvolumes\nend-volume", `t.vol:4: volume "a": subvolumes without a name`},
		{"second subvolumes", leaf + "volume b\ntype c\nsubvolumes a\nsubvolumes a\nend-volume", `t.vol:7: volume "b" has a second subvolumes line`},
		{"several at once", leaf + "volume b\ntype c\nsubvolumes x b y\nend-volume",
			"t.vol:6: volume \"b\": subvolume \"x\" is not defined above\nt.vol:6: volume \"b\" is its own subvolume\nt.vol:6: volume \"b\": subvolume \"y\" is not defined above"},
		{"string over lines", "volume \"a\nb\"", "t.vol:1: string is not ended by a double quote on its line"},
		{"string to the end", "volume a\ntype \"b", "t.vol:2: string is not ended by a double quote on its line"},
		{"string ended by escaped quote", `volume "a\"`, "t.vol:1: string is not ended by a double quote on its line"},
		{"escaped newline in string", "volume \"a\\\nb\"", "t.vol:1: string is not ended by a double quote on its line"},
		{"backslash last in file", `volume "a\`, "t.vol:1: string is not ended by a double quote on its line"},
		{"backslash outside", "volume a\ntype b\\c", "t.vol:2: backslash outside of a string in double quotes"},
		{"backtick", "volume a\ntype b\noption d `pwd`\nend-volume", "t.vol:3: " + backtick},
		{"backtick in comment", "# `pwd`\n" + leaf, "t.vol:1: " + backtick},
		{"backtick in string", "volume a\ntype \"`pwd`\"\nend-volume", "t.vol:2: " + backtick},
		{"one backtick", leaf + "`", "t.vol:4: " + backtick},
		{"escaped backtick outside", "volume a\\`", "t.vol:1: backslash outside of a string in double quotes"},
		{"NUL first", "\x00", "t.vol:1: NUL byte"},
		{"NUL", "volume a\ntype b\x00\n", "t.vol:2: NUL byte"},
		{"CRLF counts lines once", "volume a\r\ntype b\r\nfoo\r\n", `t.vol:3: volume "a": expected option, subvolumes or end-volume, found "foo"`},
		{"long word is shortened", strings.Repeat("x", 70), `t.vol:1: expected keyword volume, found "` + strings.Repeat("x", 64) + `"...`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("t.vol", []byte(c.src))
			if err == nil {
				t.Fatalf("accepted: %s", f.Format())
			}
			if err.Error() != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", err, c.want)
			}
			if len(Errors(err)) != 1+strings.Count(c.want, "\n") {
				t.Errorf("Errors(%v) = %v", err, Errors(err))
			}
		})
	}
}

const backtick = "backtick: commands in a volfile are never run here; write \"\\`\" for the character itself"

func TestTooLargeIsRefused(t *testing.T) {
	_, err := Parse("t.vol", bytes.Repeat([]byte{' '}, MaxSize+1))
	if err == nil || err.Error() != "t.vol:1: volfile is larger than 16 MiB" {
		t.Error(err)
	}
	largest := append(bytes.Repeat([]byte{' '}, MaxSize-len(leaf)), leaf...)
	if _, err := Parse("t.vol", largest); err != nil {
		t.Error(err)
	}
}

func TestComplaintsAreBounded(t *testing.T) {
	_, err := Parse("t.vol", []byte("volume a\ntype b\nsubvolumes"+strings.Repeat(" x", 1000)+"\nend-volume"))
	if n := len(Errors(err)); n != maxErrors {
		t.Errorf("%d complaints", n)
	}
}

func TestLexerRules(t *testing.T) {
	for _, c := range []struct{ name, src, key, value string }{
		{"word", `option k v`, "k", "v"},
		{"hash inside a word", `option k a#b`, "k", "a#b"},
		{"hash after a string", "option k \"a\"#b", "k", "a"},
		{"comment after value", "option k v # w x", "k", "v"},
		{"string", `option k "a b"`, "k", "a b"},
		{"empty string", `option k ""`, "k", ""},
		{"escapes in string", `option k "a\"b\\c\d\n"`, "k", `a"b\cdn`},
		{"hash in string", `option k "#a"`, "k", "#a"},
		{"escaped backtick in string", "option k \"\\`a\\`\"", "k", "`a`"},
		{"escaped backtick in comment", "option k v # \\`a\\`", "k", "v"},
		{"keyword in string", `option "option" "end-volume"`, "option", "end-volume"},
		{"longer than a keyword", `option types volume-id`, "types", "volume-id"},
		{"word touching a string", `option k"v"`, "k", "v"},
		{"spread over lines", "option\n\n k # c\n\tv", "k", "v"},
		{"tabs and CR", "option\tk\r\nv\r", "k", "v"},
		{"bytes that are not UTF-8", "option k \xff\xfe", "k", "\xff\xfe"},
		{"punctuation", "option auth.addr./b.allow *", "auth.addr./b.allow", "*"},
		{"twice: the last", "option k v option k w", "k", "w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustParse(t, "volume a type b "+c.src+"\nend-volume")
			if o := f.Top().Options; len(o) != 1 || o[0].Key != c.key || o[0].Value != c.value {
				t.Errorf("got %+v", o)
			}
			again := mustParse(t, string(f.Format()))
			if d := Diff(f, again); d.Kind != Same {
				t.Errorf("%s\nprinted and read again: %s", f.Format(), d.Reason)
			}
		})
	}
}

func TestFileHasCommentAtEndWithoutNewline(t *testing.T) {
	mustParse(t, leaf+"# the end")
}

func TestDuplicateOptionWarnsAndLastWins(t *testing.T) {
	f := mustParse(t, "volume a\ntype b\noption k 1\noption l 2\noption k 3\nend-volume")
	if v, _ := f.Top().Option("k"); v != "3" || f.Top().Options[0].Line != 5 {
		t.Errorf("%+v", f.Top().Options)
	}
	want := `t.vol:5: volume "a": option "k" was given on line 3 already; this value counts`
	if len(f.Warnings) != 1 || f.Warnings[0].Error() != want {
		t.Errorf("%v", f.Warnings)
	}
}

func TestOddGraphsWarn(t *testing.T) {
	f := mustParse(t, leaf+"volume b\ntype t\nend-volume\nvolume c\ntype t\nsubvolumes a a\nend-volume")
	want := []string{
		`t.vol:9: volume "c": subvolume "a" is named twice`,
		`t.vol:4: volume "b" is not below "c", the last volume, and is not used`,
	}
	if len(f.Warnings) != 2 || f.Warnings[0].Error() != want[0] || f.Warnings[1].Error() != want[1] {
		t.Errorf("%v", f.Warnings)
	}
}

func TestOptionsMayStandBeforeAndAfterSubvolumes(t *testing.T) {
	f := mustParse(t, leaf+"volume b\ntype c\noption x 1\nsubvolumes a\noption y 2\nend-volume")
	b := f.Lookup("b")
	if f.Top() != b || len(b.Options) != 2 || len(b.Subvolumes) != 1 || b.Line != 4 || b.Options[1].Line != 8 {
		t.Errorf("%+v", b)
	}
	want := "volume a\n    type t/a\nend-volume\n\nvolume b\n    type c\n    option x 1\n    option y 2\n    subvolumes a\nend-volume\n"
	if got := string(f.Format()); got != want {
		t.Errorf("%s", got)
	}
	if f.Lookup("nobody") != nil {
		t.Error("found a volume that is not there")
	}
}

func TestLeavesAreInDepthFirstOrder(t *testing.T) {
	f := mustParse(t, `volume d type t end-volume volume c type t end-volume volume b type t end-volume
volume y type t subvolumes c d end-volume volume x type t subvolumes b c end-volume
volume top type t subvolumes x y end-volume`)
	var got []string
	for _, v := range f.Leaves() {
		got = append(got, v.Name)
	}
	if strings.Join(got, " ") != "b c d" {
		t.Error(got)
	}
}

func TestFileMadeByHandWorks(t *testing.T) {
	f := &File{Volumes: []*Volume{{Name: "a", Type: "t"}, {Name: "b", Type: "t", Subvolumes: []string{"a"}}}}
	if f.Lookup("a") != f.Volumes[0] || len(f.Leaves()) != 1 || (&File{}).Top() != nil {
		t.Error("lookup")
	}
	mustParse(t, string(f.Format()))
}
