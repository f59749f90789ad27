package workload

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a worker in a process of its own.
type Process struct {
	cfg    Config
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	errs   strings.Builder
	ready  chan struct{} // closed when it has prepared its files, or ended
	ended  chan struct{} // closed when result and err are set
	result Result        // constant after ended
	err    error         // constant after ended

	mu   sync.Mutex
	last Result // guarded by mu; the newest line
}

// Launch starts worker cfg with the program bin (cmd hfload). It runs until
// Stop, or ctx, which kills it.
func Launch(ctx context.Context, bin string, cfg Config) (*Process, error) {
	args := []string{cfg.Kind, cfg.Dir, "--id", strconv.Itoa(cfg.ID), "--seed", strconv.FormatUint(cfg.Seed, 10), "--n", strconv.Itoa(cfg.N)}
	if cfg.Progress > 0 {
		args = append(args, "--progress", cfg.Progress.String())
	}
	p := &Process{cfg: cfg, ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, bin, args...)
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Stderr = &p.errs
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker %s: %w", cfg.Kind, err)
	}
	go p.read(out)
	return p, nil
}

// read ends when the process does; Wait waits for it.
func (p *Process) read(out io.Reader) {
	defer close(p.ended)
	open := true
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var r Result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			p.err = fmt.Errorf("worker %s printed %q: %w", p.cfg.Kind, s.Text(), err)
			continue
		}
		p.mu.Lock()
		p.last = r
		p.mu.Unlock()
		if open {
			close(p.ready)
			open = false
		}
		if r.State == "done" {
			p.result = r
		}
	}
	err := p.cmd.Wait()
	if open {
		close(p.ready)
	}
	switch {
	case p.result.Errors > 0:
		p.err = fmt.Errorf("worker %s: %d errors, the first: %s", p.cfg.Kind, p.result.Errors, p.result.FirstError)
	case err != nil:
		p.err = fmt.Errorf("worker %s: %w: %s", p.cfg.Kind, err, p.errs.String())
	case p.result.State == "" && p.err == nil:
		p.err = fmt.Errorf("worker %s ended without a result: %s", p.cfg.Kind, p.errs.String())
	}
}

// PID is the worker's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ready waits until the worker has prepared its files.
func (p *Process) Ready(ctx context.Context) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return fmt.Errorf("worker %s is not ready: %w", p.cfg.Kind, ctx.Err())
	}
	select {
	case <-p.ended:
		return errors.Join(errors.New("ended while it prepared"), p.err)
	default:
		return nil
	}
}

// Last is the newest line that came.
func (p *Process) Last() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stop tells the worker to verify a last time and end, and waits for it. An
// error of the worker is returned as one.
func (p *Process) Stop() (Result, error) {
	p.Close()
	return p.Wait()
}

// Close tells the worker to end and does not wait for it.
func (p *Process) Close() { p.stdin.Close() }

// Kill sends SIGKILL. The worker's folder stays.
func (p *Process) Kill() {
	select {
	case <-p.ended:
	default:
		p.cmd.Process.Kill()
	}
}

// Wait waits for the end.
func (p *Process) Wait() (Result, error) {
	<-p.ended
	return p.result, p.err
}
