package content

import (
	"context"
	"slices"

	"github.com/holdfast/holdfast/xlator"
)

// Own is the context of what a cache asks for while it carries out the request
// behind ctx: by the same person, and interrupted with it, but not part of what
// the request is known by after a crash.
func Own(ctx context.Context) context.Context {
	return own{Background(ctx), ctx}
}

// Background is the same for what may outlive the request.
func Background(ctx context.Context) *xlator.Call {
	c := xlator.CallFrom(ctx)
	return &xlator.Call{UID: c.UID, GID: c.GID, PID: c.PID, LockOwner: c.LockOwner, Groups: slices.Clone(c.Groups)}
}

// own is a call that ends with another.
type own struct {
	*xlator.Call
	of context.Context
}

// Done implements context.Context.
func (o own) Done() <-chan struct{} { return o.of.Done() }

// Err implements context.Context.
func (o own) Err() error { return o.of.Err() }
