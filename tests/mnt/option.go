package mnt

import "strings"

// Option changes how Mount mounts.
type Option func(*config)

type config struct {
	options  []string // for -o
	args     []string
	env      []string
	logLevel string
	metrics  bool
	plain    bool
	program  string // main package
	keeper   string // flag; empty: as the build has it
}

// O adds options for -o.
func O(opts ...string) Option {
	return func(c *config) { c.options = append(c.options, opts...) }
}

// Args adds arguments for the command line as they are.
func Args(args ...string) Option {
	return func(c *config) { c.args = append(c.args, args...) }
}

// Env adds KEY=VALUE to the environment of the mounted process.
func Env(kv ...string) Option {
	return func(c *config) { c.env = append(c.env, kv...) }
}

// LogLevel is for --log-level; without it "debug".
func LogLevel(level string) Option {
	return func(c *config) { c.logLevel = level }
}

// WithMetrics serves metrics on a free port of this machine, for M.Metrics.
func WithMetrics() Option {
	return func(c *config) { c.metrics = true }
}

// Plain mounts with the program as users have it (BuildPlain).
func Plain() Option {
	return func(c *config) { c.plain = true }
}

// Program mounts with that main package of this module, which is holdfast with
// something more, instead of cmd/holdfast.
func Program(pkg string) Option {
	return func(c *config) { c.program = pkg }
}

// Keeper has a keeper hold the mount, as users have it. It is so without asking,
// but not with the race detector: it does not see request memory that a keeper
// holds.
func Keeper() Option {
	return func(c *config) { c.keeper = "--keeper=on" }
}

// NoKeeper mounts with a process of its own only.
func NoKeeper() Option {
	return func(c *config) { c.keeper = "--no-keeper" }
}

func (c *config) commandLine(src, dir, log, metrics string) []string {
	args := []string{"mount", src, dir, "--log-file", log, "--log-level", c.logLevel}
	if len(c.options) > 0 {
		args = append(args, "-o", strings.Join(c.options, ","))
	}
	if metrics != "" {
		args = append(args, "--metrics", metrics)
	}
	switch {
	case c.keeper != "":
		args = append(args, c.keeper)
	case RaceEnabled && !c.plain:
		args = append(args, "--no-keeper")
	}
	return append(args, c.args...)
}
