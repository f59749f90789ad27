package mnt

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/workload"
)

// readyTimeout is for a worker to prepare its files; 10,000 take a while.
const readyTimeout = 3 * time.Minute

// Load starts a worker of package workload in its own process and waits until
// it works. If the test does not stop it, the end of the test does.
func Load(t testing.TB, cfg workload.Config) *workload.Process {
	t.Helper()
	return LoadWith(t, Build(t, "tests/hfload"), cfg)
}

// LoadWith is Load with that hfload program.
func LoadWith(t testing.TB, hfload string, cfg workload.Config) *workload.Process {
	t.Helper()
	ctx, kill := context.WithCancel(context.Background())
	p, err := workload.Launch(ctx, hfload, cfg)
	if err != nil {
		kill()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer kill()
		select {
		case <-p.Ended():
		default:
			Stop(t, p)
		}
	})
	wait, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := p.Ready(wait); err != nil {
		kill()
		t.Fatal(err)
	}
	return p
}

// stopTimeout is for a worker's last verification.
const stopTimeout = 3 * time.Minute

// Stop ends a worker. What it found wrong fails the test.
func Stop(t testing.TB, p *workload.Process) workload.Result {
	t.Helper()
	p.Close()
	select {
	case <-p.Ended():
	case <-time.After(stopTimeout):
		t.Errorf("worker %d does not end; it is killed", p.PID())
		p.Kill()
	}
	r, err := p.Wait()
	if err != nil {
		t.Error(err)
	}
	return r
}
