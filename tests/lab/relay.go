package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/tests/lab/relay"
)

// Relay stands before glusterd and all bricks of a lab, at an address of its own
// (see the package comment for the way through it).
type Relay struct {
	// Host is the address that a client is pointed at, instead of Lab.Host.
	Host string
	// Glusterd is the Gate to glusterd.
	Glusterd *relay.Gate

	l *Lab

	mu     sync.Mutex
	bricks map[string]*relay.Gate // by Brick.Path
	errs   []error
}

// Relay starts a relay. It ends with the test.
func (l *Lab) Relay() *Relay {
	l.t.Helper()
	l.relays++
	r := &Relay{
		Host:   strings.TrimSuffix(l.Host, "100") + strconv.Itoa(100+l.relays),
		l:      l,
		bricks: map[string]*relay.Gate{},
	}
	r.Glusterd = relay.New(map[relay.Call]relay.Rewrite{
		relay.Getspec:     r.rewriteSpec,
		relay.PortByBrick: r.rewritePort,
	})
	l.t.Cleanup(r.close)
	if err := r.Glusterd.Serve(net.JoinHostPort(r.Host, glusterdPort), l.management()); err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (r *Relay) close() {
	if err := r.Glusterd.Close(); err != nil {
		r.l.t.Error(err)
	}
	// No connection to glusterd is left that could make new ones.
	for path, g := range r.bricks {
		if err := g.Close(); err != nil {
			r.l.t.Errorf("brick %s: %v", path, err)
		}
	}
	for _, err := range r.errs {
		r.l.t.Error(err)
	}
}

// Brick is the Gate to a brick; it stays the same when the brick comes back on
// another port. Clients find its door by asking for the port.
func (r *Relay) Brick(b *Brick) *relay.Gate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gate(b.Path)
}

// gate finds or makes the Gate of a brick. Relay.mu is held.
func (r *Relay) gate(path string) *relay.Gate {
	g := r.bricks[path]
	if g == nil {
		g = relay.New(nil)
		r.bricks[path] = g
	}
	return g
}

// Source is what a client mounts to go through the relay: "HOST:/NAME".
func (r *Relay) Source(v *Volume) string { return r.Host + ":/" + v.Name }

// Volfile is the volfile as GETSPEC hands it out through the relay.
func (r *Relay) Volfile(v *Volume) string {
	r.l.t.Helper()
	spec, err := getspec(net.JoinHostPort(r.Host, glusterdPort), v.Name)
	if err != nil {
		r.l.t.Fatal(err)
	}
	return spec
}

// rewriteSpec puts the relay's address in the place of the lab's.
func (r *Relay) rewriteSpec(_, results []byte) []byte {
	s, err := parseSpec(results)
	if err != nil || int32(s.result) < 0 {
		return results
	}
	const option = "option remote-host "
	s.volfile = strings.ReplaceAll(s.volfile, option+r.l.Host+"\n", option+r.Host+"\n")
	return s.encode()
}

// rewritePort opens the door to a brick before a client learns of it.
func (r *Relay) rewritePort(args, results []byte) []byte {
	path, _, err := takeString(args)
	if err != nil {
		return results
	}
	port, err := portOf(results)
	if err != nil || port == 0 {
		return results
	}
	opened, err := r.open(path, port)
	if err != nil {
		r.mu.Lock()
		r.errs = append(r.errs, err)
		r.mu.Unlock()
		return results
	}
	results = slices.Clone(results)
	binary.BigEndian.PutUint32(results[portAt:], uint32(opened))
	return results
}

// open leads clients to a brick's port, and says on which port of the relay.
func (r *Relay) open(path string, port int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gate(path)
	target := net.JoinHostPort(r.l.Host, strconv.Itoa(port))
	if g.Target() == target {
		return portIn(g.Addr())
	}
	err := g.Serve(net.JoinHostPort(r.Host, strconv.Itoa(port)), target)
	if err != nil { // somebody listens there on all addresses
		err = g.Serve(net.JoinHostPort(r.Host, "0"), target)
	}
	if err != nil {
		return 0, fmt.Errorf("a door to brick %s: %w", path, err)
	}
	return portIn(g.Addr())
}

func portIn(addr string) (int, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
