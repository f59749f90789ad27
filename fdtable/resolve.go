package fdtable

// The two decisions of a resolve, pure: UseNode and UseFD make them, and the
// exhaustive test explores them together with hint.Step and the step functions
// of package graph.

// fresh decides from the key of the cached result (0: none) and the generation
// of the current graph whether the result may be entered at once (a HIT), or
// the slow road has to be taken.
func fresh(key, current uint64) bool { return key == current }

// mayUse decides, after the graph of a result was entered, whether the result may
// be used. unchanged: it is still the published one. isCurrent: its graph is the
// current one. sameView: the graph is current that was so when the result was
// asked for. A result on an older graph was given because the file is pinned
// there, which may have ended with a switch; it is used only while it stays
// published, which is what keeps that graph from being retired.
func mayUse(unchanged, isCurrent, sameView bool) bool {
	return unchanged && (isCurrent || sameView)
}
