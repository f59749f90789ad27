package mnt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Status is the part of `holdfast status --json` that tests look at.
type Status struct {
	Graph struct {
		Generation uint64 `json:"generation"`
		State      string `json:"state"`
	} `json:"graph"`
	Graphs struct {
		Live int `json:"live"`
	} `json:"graphs"`
	Switch struct {
		Count  uint64  `json:"count"`
		Failed uint64  `json:"failed"`
		LastMS float64 `json:"last_ms"`
	} `json:"switch"`
	Files struct {
		Nodes   int64 `json:"nodes"`
		Open    int64 `json:"open"`
		Pending int64 `json:"pending"`
		Held    int64 `json:"held"`
		Pinned  int64 `json:"pinned"`
		Moved   int64 `json:"moved"`
	} `json:"files"`
	Locks struct {
		Held int64 `json:"held"`
		Lost int64 `json:"lost"`
	} `json:"locks"`
	Process struct {
		PID        int   `json:"pid"`
		RSSBytes   int64 `json:"rss_bytes"`
		Goroutines int   `json:"goroutines"`
	} `json:"process"`
	Keeper struct {
		PID     int    `json:"pid"`
		State   string `json:"state"`
		Service string `json:"service"`
	} `json:"keeper"`
	Worker struct {
		Generation uint64 `json:"generation"`
		Restarts   uint64 `json:"restarts"`
		Deaths     uint64 `json:"deaths"`
	} `json:"worker"`
	Recovery struct {
		Requests uint64 `json:"requests"`
		// ByKind counts by what became of them: replied, owed, again, ...
		ByKind map[string]uint64 `json:"by_kind"`
		LastMS float64           `json:"last_ms"`
	} `json:"recovery"`

	// Raw is all of it.
	Raw json.RawMessage `json:"-"`
}

// Reload is what `holdfast reload --json` and `holdfast set --json` answer.
type Reload struct {
	Generation uint64 `json:"generation"`
	// Action is "none", "reconfigured" or "switched".
	Action string `json:"action"`

	// Raw is all of it.
	Raw json.RawMessage `json:"-"`
}

// Run runs the program with args and returns what it prints on standard
// output. The error holds what it prints on standard error.
func (m *M) Run(args ...string) (string, error) {
	return m.command(commandTimeout, args...)
}

func (m *M) command(timeout time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.bin, args...)
	// The process in the background must not keep us waiting for its output.
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), m.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// A command that hangs shows where, before it is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("holdfast %s: no end after %v:\n%s", strings.Join(args, " "), timeout, errs.String())
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return "", fmt.Errorf("holdfast %s: something it started holds its output open", strings.Join(args, " "))
	}
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Status asks the mount.
func (m *M) Status() Status {
	m.t.Helper()
	s, err := m.TryStatus()
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// TryStatus is Status for a test in which it may fail.
func (m *M) TryStatus() (Status, error) {
	var s Status
	raw, err := m.ask(&s, "status", m.Dir, "--json")
	s.Raw = raw
	return s, err
}

// Reload makes the mount read its volfile again, or volfile from now on if
// that is not empty.
func (m *M) Reload(volfile string) Reload {
	m.t.Helper()
	r, err := m.TryReload(volfile)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// TryReload is Reload for a test in which it may be refused.
func (m *M) TryReload(volfile string, args ...string) (Reload, error) {
	all := []string{"reload", m.Dir, "--json"}
	if volfile != "" {
		all = append(all, "--volfile", volfile)
	}
	var r Reload
	raw, err := m.ask(&r, append(all, args...)...)
	r.Raw = raw
	return r, err
}

// Set changes options of the default graph: key and value in turn.
func (m *M) Set(keyValue ...string) Reload {
	m.t.Helper()
	r, err := m.TrySet(keyValue...)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// TrySet is Set for a test in which it may be refused.
func (m *M) TrySet(keyValue ...string) (Reload, error) {
	var r Reload
	raw, err := m.ask(&r, append([]string{"set", m.Dir, "--json"}, keyValue...)...)
	r.Raw = raw
	return r, err
}

// Dump is `holdfast dump`.
func (m *M) Dump() json.RawMessage {
	m.t.Helper()
	out, err := m.Run("dump", m.Dir)
	if err != nil {
		m.t.Fatal(err)
	}
	return json.RawMessage(out)
}

func (m *M) ask(into any, args ...string) (json.RawMessage, error) {
	out, err := m.Run(args...)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return nil, fmt.Errorf("holdfast %s printed %q: %w", strings.Join(args, " "), out, err)
	}
	return json.RawMessage(out), nil
}

// pollStep is how often WaitStatus asks.
const pollStep = 20 * time.Millisecond

// WaitStatus asks until ok agrees, and fails the test after timeout.
func (m *M) WaitStatus(timeout time.Duration, what string, ok func(Status) bool) Status {
	m.t.Helper()
	end := time.Now().Add(timeout)
	for {
		s := m.Status()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			m.t.Fatalf("after %v not %s: %s", timeout, what, s.Raw)
		}
		time.Sleep(pollStep)
	}
}
