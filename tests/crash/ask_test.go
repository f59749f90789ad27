package crash

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/mnt"
)

// askInto asks the worker without starting a process: a test that holds files
// of the mount open must not, since what a new process closes is flushed.
func askInto(t testing.TB, m *mnt.M, op string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	c, err := control.Open(m.Dir)
	must(t, err)
	var raw json.RawMessage
	must(t, c.Ask(ctx, control.Request{Op: op, Timeout: 30 * time.Second}, &raw))
	if into != nil {
		must(t, json.Unmarshal(raw, into))
	}
}

func ask(t testing.TB, m *mnt.M, op string) {
	t.Helper()
	askInto(t, m, op, nil)
}
