package glusterd_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/tests/lab"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func client(t *testing.T, volume string, servers ...string) (*glusterd.Client, *lines) {
	t.Helper()
	log := &lines{}
	c := glusterd.New(glusterd.Config{Servers: servers, Volume: volume, Log: slog.New(slog.NewTextHandler(log, nil))})
	t.Cleanup(c.Close)
	return c, log
}

// told waits for news.
func told(t *testing.T, c *glusterd.Client) {
	t.Helper()
	select {
	case <-c.Changed():
	case <-time.After(soon):
		t.Fatalf("no news within %v", soon)
	}
}

func TestVolfileIsWhatGlusterdHasGenerated(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	c, _ := client(t, "one", l.Host)
	text, from, err := c.Fetch(t.Context())
	must(t, err)
	if text != v.Volfile() {
		t.Errorf("got\n%s\nwant\n%s", text, v.Volfile())
	}
	s := c.Status()
	if from.Server != l.Host+":24007" || s.Server != from.Server || s.Fetched == nil || *s.Fetched != from || s.Error != "" {
		t.Errorf("from %+v, status %+v", from, s)
	}
}

func TestChangeOfTheVolumeIsHeard(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	c, _ := client(t, "one", l.Host)
	before, _, err := c.Fetch(t.Context())
	must(t, err)
	select {
	case <-c.Changed():
		t.Error("something changed after it was fetched")
	default:
	}
	v.Set("performance.io-cache", "on")
	told(t, c)
	after, _, err := c.Fetch(t.Context())
	must(t, err)
	if before == after || !strings.Contains(after, "performance/io-cache") {
		t.Errorf("after the change:\n%s", after)
	}
}

func TestServersAreTriedInTurn(t *testing.T) {
	l := newLab(t)
	l.Volume("one")
	c, log := client(t, "one", "no-such-host.invalid", "127.1.2.3", l.Host)
	_, from, err := c.Fetch(t.Context())
	must(t, err)
	if from.Server != l.Host+":24007" {
		t.Errorf("fetched from %s", from.Server)
	}
	if n := log.count("level=WARN"); n != 0 {
		t.Errorf("%d warnings although one answers", n)
	}
}

func TestRestartedDaemonIsConnectedAgain(t *testing.T) {
	l := newLab(t)
	l.Volume("one")
	c, log := client(t, "one", l.Host)
	_, _, err := c.Fetch(t.Context())
	must(t, err)
	l.Glusterd.Kill()
	if _, _, err = c.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "nobody listens at "+l.Host+":24007: does glusterd run there?") {
		t.Errorf("without a daemon: %v", err)
	}
	if s := c.Status(); s.Server != "" || s.Error == "" || s.Fetched == nil {
		t.Errorf("without a daemon: %+v", s)
	}
	l.StartGlusterd()
	told(t, c) // something may have been missed
	_, _, err = c.Fetch(t.Context())
	must(t, err)
	// One line for each event, however often it was tried.
	if lost, away, there := log.count("daemon lost"), log.count("daemon away"), log.count("daemon connected"); lost != 1 || away != 1 || there != 2 {
		t.Errorf("%d lines of the loss, %d of the absence, %d of connections", lost, away, there)
	}
}

// A daemon that hangs is noticed when it is asked something, and the next server
// is.
func TestSilentDaemonIsLeftForTheNext(t *testing.T) {
	t.Parallel() // it waits most of its time
	first, second := newLab(t), newLab(t)
	first.Volume("one")
	second.Volume("one")
	c, _ := client(t, "one", first.Host, second.Host)
	_, from, err := c.Fetch(t.Context())
	must(t, err)
	if from.Server != first.Host+":24007" {
		t.Fatalf("fetched from %s", from.Server)
	}
	first.Glusterd.Stop()
	_, from, err = c.Fetch(t.Context())
	first.Glusterd.Continue()
	must(t, err)
	if from.Server != second.Host+":24007" {
		t.Errorf("fetched from %s", from.Server)
	}
}

func TestFailureToFetchIsExplained(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one", lab.Stopped())
	for _, c := range []struct{ volume, host, want string }{
		{"nope", l.Host, "there is no volume nope at " + l.Host + ":24007"},
		{"one", "no-such-host.invalid", "host no-such-host.invalid is unknown"},
		{"one", "127.1.2.3", "nobody listens at 127.1.2.3:24007: does glusterd run there?"},
		{"one", "::1", "nobody listens at [::1]:24007: does glusterd run there?"},
	} {
		cl, _ := client(t, c.volume, c.host)
		if _, _, err := cl.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s at %s: got %v, want %q", c.volume, c.host, err, c.want)
		}
	}
	cl, _ := client(t, "one", l.Host)
	if started, known := cl.Started(t.Context()); started || !known {
		t.Errorf("a stopped volume: started %v, known %v", started, known)
	}
	v.Start()
	if started, known := cl.Started(t.Context()); !started || !known {
		t.Errorf("a started volume: started %v, known %v", started, known)
	}
	// The port of a brick is not the daemon's.
	brick := glusterd.New(glusterd.Config{Servers: []string{l.Host}, Port: v.Bricks[0].Port(), Volume: "one", Log: slog.New(slog.DiscardHandler)})
	defer brick.Close()
	if _, _, err := brick.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "is no management daemon") {
		t.Errorf("the port of a brick: %v", err)
	}
}
