package mountopt

import (
	"flag"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the pages that are generated")

const page = "../../../docs/mount-options.md"

func TestDefaultsAreThoseOfMountGlusterfs(t *testing.T) {
	o := Default()
	want := Options{
		AllowOther: true, DefaultPermissions: true, LogLevel: slog.LevelInfo,
		AttrTimeout: time.Second, EntryTimeout: time.Second,
		MaxWrite: 1 << 20, ReadAhead: 1 << 20, MaxBackground: 64, DrainTimeout: 5 * time.Second, Keeper: "on", RecoveryDeadline: time.Minute,
		ServerPort: 24007,
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
}

func TestOptionsAreParsed(t *testing.T) {
	for _, c := range []struct {
		words string
		want  func(*Options)
	}{
		{"", func(*Options) {}},
		{",,", func(*Options) {}},
		{"ro,nosuid,nodev,noexec", func(o *Options) {
			o.Flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		}},
		{"ro,nosuid,rw,suid", func(*Options) {}},
		{"ro,sync,noexec,defaults", func(*Options) {}},
		{"noatime,relatime", func(o *Options) { o.Flags = unix.MS_RELATIME }},
		{"strictatime,nodiratime", func(o *Options) { o.Flags = unix.MS_STRICTATIME | unix.MS_NODIRATIME }},
		{"noatime,atime", func(*Options) {}},
		{"sync,dirsync", func(o *Options) { o.Flags = unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC }},
		{"attribute-timeout=0.5,entry-timeout=2,negative-timeout=1min", func(o *Options) {
			o.AttrTimeout, o.EntryTimeout, o.NegativeTimeout = time.Second/2, 2*time.Second, time.Minute
		}},
		{"acl", func(o *Options) { o.ACL = true }},
		{"acl,noacl", func(*Options) {}},
		{"direct-io-mode=enable", func(o *Options) { o.DirectIO = true }},
		{"direct-io-mode=enable,direct-io-mode=auto", func(*Options) {}},
		{"fopen-keep-cache", func(o *Options) { o.KeepCache = true }},
		{"fopen-keep-cache=off", func(*Options) {}},
		{"use-readdirp=no", func(o *Options) { o.Ignored = []string{"use-readdirp"} }},
		{"background-qlen=8,congestion-threshold=6", func(o *Options) { o.MaxBackground, o.Congestion = 8, 6 }},
		{"max-write=128KB", func(o *Options) { o.MaxWrite = 128 << 10 }},
		{"drain-timeout=0.25", func(o *Options) { o.DrainTimeout = time.Second / 4 }},
		{"allow-foreign-brick", func(o *Options) { o.AllowForeignBrick = true }},
		{"backup-volfile-servers=h2:[::1],server-port=24008,subdir-mount=a/b/,transport=tcp,lock-loss=drop", func(o *Options) {
			o.BackupServers, o.ServerPort, o.Subdir, o.LockLoss = []string{"h2", "::1"}, 24008, "/a/b", "drop"
		}},
		{"backupvolfile-server=h2,fetch-attempts=3", func(o *Options) {
			o.BackupServers, o.Ignored = []string{"h2"}, []string{"fetch-attempts"}
		}},
		{"metrics=127.0.0.1:9000", func(o *Options) { o.Metrics = "127.0.0.1:9000" }},
		{`log-file="/var/log/a,b.log",ro`, func(o *Options) { o.LogFile = "/var/log/a,b.log"; o.Flags = unix.MS_RDONLY }},
		{"log-level=debug", func(o *Options) { o.LogLevel = slog.LevelDebug; o.LogLevelGiven = true }},
		{"_netdev,nofail,x-systemd.automount,comment=hello,noauto,user", func(o *Options) {
			o.Ignored = []string{"_netdev", "nofail", "x-systemd.automount", "comment", "noauto", "user"}
		}},
		{"x-systemd.requires=/data,user=joe", func(o *Options) { o.Ignored = []string{"x-systemd.requires", "user"} }},
	} {
		t.Run(c.words, func(t *testing.T) {
			want := Default()
			c.want(&want)
			got, err := Parse([]string{c.words}, false)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestLaterListsWin(t *testing.T) {
	o, err := Parse([]string{"ro,attribute-timeout=7", "rw"}, false)
	if err != nil || o.ReadOnly() || o.AttrTimeout != 7*time.Second {
		t.Errorf("%+v %v", o, err)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for words, want := range map[string]string{
		"bogus":                         "unknown mount option bogus",
		"atribute-timeout=3":            "did you mean attribute-timeout?",
		"attribute-timeout":             "attribute-timeout needs a value: attribute-timeout=SECONDS",
		"attribute-timeout=x":           `option attribute-timeout: "x" is not a time`,
		"attribute-timeout=":            "attribute-timeout",
		"direct-io-mode=maybe":          "one of enable, disable, auto",
		"max-write=2MB":                 "between 4096 and 1048576 bytes",
		"max-write=10":                  "between 4096",
		"log-level=LOUD":                `"LOUD" is not a log level`,
		"log-file=relative.log":         "absolute path",
		"ro=1":                          "ro takes no value",
		"acl=on":                        "acl takes no value",
		"use-readdirp=perhaps":          "boolean",
		"backup-volfile-servers=h2::h3": "backup-volfile-servers: h2::h3: a host is missing",
		"transport=rdma":                "RDMA is no longer part of GlusterFS",
		"volfile-server-port=0":         "between 1 and 65535",
		"subdir-mount=/a/../b":          ".. has no place in it",
		"volume-id=x":                   "the source names the volume",
		"lock-loss=maybe":               "one of check, fail, drop",
		"xlator-option=a=b":             "xlator-option is not supported: use `gluster volume set`",
		"remount":                       "remount is not supported: unmount and mount again",
		`log-file="/a`:                  "a double quote is not closed",
	} {
		_, err := Parse([]string{words}, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", words, err, want)
		}
	}
}

func TestAllThatIsWrongIsTold(t *testing.T) {
	_, err := Parse([]string{"bogus,ro=1"}, false)
	if err == nil || !strings.Contains(err.Error(), "bogus") || !strings.Contains(err.Error(), "ro takes") {
		t.Error(err)
	}
}

func TestSloppyMountToleratesTheUnknownOnly(t *testing.T) {
	o, err := Parse([]string{"bogus=1,ro"}, true)
	if err != nil || !o.ReadOnly() || len(o.Ignored) != 1 || o.Ignored[0] != "bogus" {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := Parse([]string{"max-write=x"}, true); err == nil {
		t.Error("a bad value was tolerated")
	}
}

func TestTableIsConsistent(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Table() {
		if seen[d.Name] {
			t.Errorf("%s is there twice", d.Name)
		}
		seen[d.Name] = true
		if d.Help == "" && d.Refused == "" {
			t.Errorf("%s has no help", d.Name)
		}
		if d.apply == nil && !d.Ignored && d.Refused == "" {
			t.Errorf("%s has no effect and does not say so", d.Name)
		}
		if d.apply != nil && d.Arg == MayArg && d.bare == "" {
			t.Errorf("%s may come without a value, which is not given", d.Name)
		}
	}
}

func TestPageIsUpToDate(t *testing.T) {
	if *update {
		if err := os.WriteFile(page, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != Page() {
		t.Errorf("%s is not what the table says; run: go test ./cmd/holdfast/mountopt -update", page)
	}
}

func TestHelpNamesEveryOption(t *testing.T) {
	h := Help()
	for _, d := range Table() {
		if !strings.Contains(h, d.Name) {
			t.Errorf("%s is missing", d.Name)
		}
	}
	for l := range strings.Lines(h) {
		if len(l) > 101 {
			t.Errorf("long line: %s", l)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"nosuid", "nosuid"}, {"no-suid", "nosuid"}, {"zzzzzz", ""}, {"", ""},
	} {
		if got := Nearest(c.name, []string{"nosuid", "nodev"}); got != c.want {
			t.Errorf("%q: got %q, want %q", c.name, got, c.want)
		}
	}
}
