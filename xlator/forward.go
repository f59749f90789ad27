package xlator

// Forward describes a type that is accepted, with its options checked, and only
// forwards for now: the graph is right without it, perhaps slower. All its
// options are ignored, so a change of one needs no new graph.
func Forward(name, summary string, options ...Option) *Type {
	for i := range options {
		o := &options[i]
		o.Ignored, o.Live = true, true
		if o.Help != "" {
			o.Help += " "
		}
		o.Help += "Accepted and without effect: the type forwards for now."
	}
	return &Type{
		Name: name, Summary: summary, Options: options,
		MinChildren: 1, MaxChildren: 1,
		Forwards: true,
		New:      func(e *Env) (Fops, error) { return &forwarder{Default{Next: e.Children[0]}}, nil },
	}
}

type forwarder struct{ Default }

// Reconfigure implements Reconfigurer: there is nothing to change.
func (*forwarder) Reconfigure(Values) error { return nil }
