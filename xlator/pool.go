package xlator

import (
	"fmt"
	"io"
	"sync"
)

// Pool holds what outlives a graph beside the fd table: brick sessions,
// embedded brick runtimes, lock tables. It belongs to the mount and is handed
// to translators when they are built. Things in it are counted: made by the
// first that asks, closed after the last has let go.
type Pool struct {
	mu sync.Mutex
	m  map[string]*pooled // guarded by mu
}

type pooled struct {
	refs   int           // guarded by Pool.mu
	ready  chan struct{} // closed once v and err are set
	closed chan struct{} // closed when the thing is gone; refs is 0 from the start of that
	v      any
	err    error
}

// NewPool returns an empty pool.
func NewPool() *Pool { return &Pool{m: map[string]*pooled{}} }

// Share returns the thing under that key, made by open if there is none yet;
// others who ask meanwhile wait. release gives it back, once; after the last
// release the thing is closed. A failed open leaves nothing behind.
func Share[T io.Closer](p *Pool, key string, open func() (T, error)) (v T, release func() error, err error) {
	e, first := p.join(key)
	if first {
		e.v, e.err = open()
		if e.err != nil {
			p.forget(key, e)
		}
		close(e.ready)
	}
	<-e.ready
	if e.err != nil {
		return v, nil, e.err
	}
	v, ok := e.v.(T)
	if !ok {
		return v, nil, fmt.Errorf("pool: %q is a %T", key, e.v)
	}
	var once sync.Once
	return v, func() (err error) {
		once.Do(func() {
			if p.leave(e) {
				err = v.Close()
				p.forget(key, e)
			}
		})
		return err
	}, nil
}

// join counts the caller in, and says whether it has to open the thing. It
// waits for one that is just being closed.
func (p *Pool) join(key string) (e *pooled, first bool) {
	for {
		p.mu.Lock()
		e = p.m[key]
		if e == nil {
			e = &pooled{refs: 1, ready: make(chan struct{}), closed: make(chan struct{})}
			p.m[key] = e
			p.mu.Unlock()
			return e, true
		}
		if e.refs > 0 {
			e.refs++
			p.mu.Unlock()
			return e, false
		}
		p.mu.Unlock()
		<-e.closed
	}
}

// leave counts the caller out, and says whether it was the last.
func (p *Pool) leave(e *pooled) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.refs--
	return e.refs == 0
}

func (p *Pool) forget(key string, e *pooled) {
	p.mu.Lock()
	delete(p.m, key)
	p.mu.Unlock()
	close(e.closed)
}

// Keys lists what is in the pool, for people to look at.
func (p *Pool) Keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ks []string
	for k := range p.m {
		ks = append(ks, k)
	}
	return ks
}
