package keeper

import (
	"log/slog"
	"strings"
	"time"
)

// Tend looks after what workers keep, while none of them uses it: names are what
// there is, kept returns a duplicate for the caller of one of them. It returns how
// many bytes it has received for the next worker, and must not wait.
type Tend func(names []string, kept func(name string) (fd int, ok bool, err error)) (n int, err error)

const (
	// tendAfter is when Tend is called first: most workers are replaced in less.
	tendAfter = time.Second
	// tendEvery is how often, from then on.
	tendEvery = 500 * time.Millisecond
)

// tending is the calls of Tend from the end of a worker to the next one's Go.
type tending struct {
	tend  Tend
	store *Store
	log   *slog.Logger
	quit  chan struct{}
	done  chan struct{} // closed after the last call
}

// startTending begins after a while. No worker may have the descriptors, nor get
// them before stop has returned. gone says whether the one before is; nil: it is.
func startTending(tend Tend, store *Store, after time.Duration, gone func() bool, log *slog.Logger) *tending {
	if tend == nil {
		return nil
	}
	t := &tending{tend: tend, store: store, log: log, quit: make(chan struct{}), done: make(chan struct{})}
	go t.run(after, gone)
	return t
}

// stop ends it and waits for its end. A nil tending has ended.
func (t *tending) stop() {
	if t != nil {
		close(t.quit)
		<-t.done
	}
}

func (t *tending) run(after time.Duration, gone func() bool) {
	defer close(t.done)
	total, complaint := 0, ""
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		select {
		case <-t.quit:
			if total > 0 {
				t.log.Info("received for the next worker", "bytes", total)
			}
			return
		case <-timer.C:
		}
		if gone == nil || gone() {
			n, err := t.tend(t.store.kept(), t.copy)
			total += n
			if err != nil && err.Error() != complaint {
				complaint = err.Error()
				t.log.Warn("what workers keep cannot be looked after", "err", err)
			}
		}
		timer.Reset(tendEvery)
	}
}

func (t *tending) copy(name string) (fd int, ok bool, err error) { return t.store.Copy(keptFD + name) }

// kept lists what workers keep.
func (s *Store) kept() (names []string) {
	for _, n := range s.names() {
		if name, ok := strings.CutPrefix(n, keptFD); ok {
			names = append(names, name)
		}
	}
	return names
}

// startTending is for the time without the worker w, which is gone. One that has
// never served may have been the last of many that received nothing.
func (k *Keeper) startTending(w *worker) {
	if k.tending != nil {
		return // it had not got what is kept
	}
	after := tendAfter
	if w.readyAt.IsZero() {
		after = 0
	}
	k.tending = startTending(k.cfg.Tend, k.store, after, nil, k.log)
}

func (k *Keeper) stopTending() {
	k.tending.stop()
	k.tending = nil
}
