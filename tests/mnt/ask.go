package mnt

import (
	"context"
	"encoding/json"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
)

// Ask asks the worker without starting a process, and decodes the answer into
// body, which may be nil: a test that holds files of the mount open may not be able
// to start one, since what a new process closes is flushed.
func (m *M) Ask(op string, body any) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	c, err := control.Open(m.Dir)
	if err == nil {
		var raw json.RawMessage
		err = c.Ask(ctx, control.Request{Op: op, Timeout: commandTimeout / 2}, &raw)
		if err == nil && body != nil {
			err = json.Unmarshal(raw, body)
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
}
