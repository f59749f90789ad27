//go:build invariants

package locks

// verify panics when an invariant of the machine does not hold.
func (m *machine) verify() {
	if err := m.check(); err != nil {
		panic("locks: " + err.Error())
	}
}
