package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"
)

// partner is the second process of a kind that needs two.
type partner struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   bytes.Buffer  // constant after ended
	errs  bytes.Buffer  // constant after ended
	ended chan struct{} // closed when err is set
	err   error         // constant after ended
}

// partnerKind gives the second process's part of a kind.
func partnerKind(name string) kind {
	return map[string]kind{
		"locker":  lockerPartner,
		"walker":  walkerPartner,
		"renamer": renamerPartner,
	}[name]
}

func (w *worker) startPartner() (*partner, error) {
	bin := w.cfg.Partner
	if bin == "" {
		bin = "/proc/self/exe"
	}
	p := &partner{ended: make(chan struct{})}
	p.cmd = exec.Command(bin, w.cfg.Kind, w.dir, "--partner",
		"--seed", strconv.FormatUint(w.cfg.Seed+1, 10), "--id", strconv.Itoa(w.cfg.ID))
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	p.cmd.WaitDelay = 10 * time.Second
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the partner: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the partner: %w", err)
	}
	// A partner that ends on its own has found something: the work ends too.
	ctx, cancel := context.WithCancel(w.ctx)
	w.ctx = ctx
	go func() {
		defer close(p.ended)
		defer cancel()
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the partner and takes over what it found.
func (p *partner) stop(w *worker) (Result, error) {
	p.stdin.Close()
	<-p.ended
	err := p.err
	var r Result
	lines := bytes.Split(bytes.TrimSpace(p.out.Bytes()), []byte("\n"))
	if jerr := json.Unmarshal(lines[len(lines)-1], &r); jerr != nil {
		return r, fmt.Errorf("partner: %v, printed %q and %q", err, p.out.String(), p.errs.String())
	}
	w.ops.Add(r.Ops)
	if r.Errors > 0 {
		return r, fmt.Errorf("partner: %s", r.FirstError)
	}
	if err != nil {
		return r, fmt.Errorf("partner: %w: %s", err, p.errs.String())
	}
	if r.LongestPauseUS > w.longest.Load() {
		w.longest.Store(r.LongestPauseUS)
		w.longestAt.Store(r.LongestAtNS)
	}
	return r, nil
}

// kill is for the way out of an error.
func (p *partner) kill() {
	p.stdin.Close()
	select {
	case <-p.ended:
	default:
		p.cmd.Process.Kill()
		<-p.ended
	}
}
