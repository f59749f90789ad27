package fdtable

// The two decisions of a resolve, pure: UseNode and UseFD make them, and the
// exhaustive test explores them together with hint.Step and the step functions
// of package graph.

// fresh decides from the key of the cached result (0: none) and the generation
// of the current graph whether the result may be entered at once (a HIT), or
// the slow road has to be taken.
func fresh(key, current uint64) bool { return key == current }

// mayUse decides, after the graph of a cached result was entered, whether the
// result may be used. unchanged: the result is still the published one.
// wasCurrent: its graph was the current one when it was read; isCurrent: it is
// now. A result on an older graph is used only while it stays published, which
// is what keeps that graph from being retired.
func mayUse(unchanged, wasCurrent, isCurrent bool) bool {
	return unchanged && (isCurrent || !wasCurrent)
}
