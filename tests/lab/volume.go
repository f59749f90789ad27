package lab

import (
	"fmt"
	"os"
	"slices"
)

// Volume is one volume of a lab.
type Volume struct {
	// Constant.
	Name   string
	Bricks []*Brick
	l      *Lab

	started bool // for the goroutine of the test
}

// VolumeOption changes what Lab.Volume makes.
type VolumeOption func(*volumeConfig)

type volumeConfig struct {
	bricks  int
	layout  []string
	options []string
	stopped bool
}

// Bricks makes n bricks instead of one.
func Bricks(n int) VolumeOption {
	return func(c *volumeConfig) { c.bricks = n }
}

// Layout adds words of `gluster volume create` before the bricks: "replica", "3".
func Layout(words ...string) VolumeOption {
	return func(c *volumeConfig) { c.layout = words }
}

// Set sets options before the volume is started: key and value in turn.
func Set(keyValue ...string) VolumeOption {
	return func(c *volumeConfig) { c.options = append(c.options, keyValue...) }
}

// Stopped leaves the volume stopped.
func Stopped() VolumeOption {
	return func(c *volumeConfig) { c.stopped = true }
}

// Volume creates a volume and starts it, and waits until its bricks serve.
func (l *Lab) Volume(name string, opts ...VolumeOption) *Volume {
	l.t.Helper()
	c := volumeConfig{bricks: 1}
	for _, o := range opts {
		o(&c)
	}
	v := &Volume{Name: name, l: l}
	args := append([]string{"volume", "create", name}, c.layout...)
	for i := range c.bricks {
		b := newBrick(v, fmt.Sprintf("/bricks/%s-%d", name, i))
		if err := os.Mkdir(b.Dir, 0o755); err != nil {
			l.t.Fatalf("a brick for volume %s: %v", name, err)
		}
		v.Bricks = append(v.Bricks, b)
		args = append(args, l.Host+":"+b.Path)
	}
	// "force": that all bricks of a replica are on one machine is meant.
	l.Gluster(append(args, "force")...)
	l.volumes = append(l.volumes, v)
	if len(c.options) > 0 {
		v.Set(c.options...)
	}
	if !c.stopped {
		v.Start()
	}
	return v
}

// Source is what a client mounts: "HOST:/NAME".
func (v *Volume) Source() string { return v.l.Host + ":/" + v.Name }

// Start starts the volume and waits until its bricks serve.
func (v *Volume) Start() {
	v.l.t.Helper()
	v.l.Gluster("volume", "start", v.Name)
	v.up()
}

// StartForce brings bricks back that were killed, each on another port, and
// waits until all serve.
func (v *Volume) StartForce() {
	v.l.t.Helper()
	// glusterd may not have noticed the death yet and then does nothing.
	err := waitFor(appearTimeout, "all bricks of "+v.Name+" run", func() (bool, error) {
		if _, err := v.l.TryGluster("volume", "start", v.Name, "force"); err != nil {
			return false, err
		}
		for _, b := range v.Bricks {
			if here, err := b.here(); err != nil || !here {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		v.l.t.Fatal(err)
	}
	v.up()
}

// up waits until the bricks serve. One that is stopped may be unknown to a new
// glusterd, and is left out.
func (v *Volume) up() {
	v.l.t.Helper()
	v.started = true
	for _, b := range v.Bricks {
		if b.stopped {
			continue
		}
		if err := b.up(); err != nil {
			v.l.t.Fatal(err)
		}
	}
}

// Stop stops the volume and waits for the end of its bricks.
func (v *Volume) Stop() {
	v.l.t.Helper()
	v.started = false
	for _, b := range v.Bricks {
		b.running = false
	}
	v.l.Gluster("volume", "stop", v.Name, "force")
	for _, b := range v.Bricks {
		if b.proc.pid != 0 {
			b.must(b.proc.waitGone(endTimeout))
		}
		b.forget()
	}
}

// Delete deletes a stopped volume and its bricks with all that is in them.
func (v *Volume) Delete() {
	v.l.t.Helper()
	v.l.Gluster("volume", "delete", v.Name)
	for _, b := range v.Bricks {
		if err := os.RemoveAll(b.Dir); err != nil {
			v.l.t.Fatalf("delete volume %s: %v", v.Name, err)
		}
	}
	v.l.volumes = slices.DeleteFunc(v.l.volumes, func(other *Volume) bool { return other == v })
}

// Set is `gluster volume set`: key and value in turn.
func (v *Volume) Set(keyValue ...string) {
	v.l.t.Helper()
	v.l.Gluster(append([]string{"volume", "set", v.Name}, keyValue...)...)
}

// Reset is `gluster volume reset`, of some options or, without any, of all.
func (v *Volume) Reset(keys ...string) {
	v.l.t.Helper()
	if len(keys) == 0 {
		v.l.Gluster("volume", "reset", v.Name)
	}
	for _, k := range keys {
		v.l.Gluster("volume", "reset", v.Name, k)
	}
}

// Volfile is the client's volfile as glusterd hands it out now (GETSPEC), with
// the credentials for the trusted clients of glusterd's own machine.
func (v *Volume) Volfile() string {
	v.l.t.Helper()
	spec, err := getspec(v.l.management(), v.Name)
	if err != nil {
		v.l.t.Fatal(err)
	}
	return spec
}
