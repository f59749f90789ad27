// Package all is the one table of translator types.
package all

import (
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
)

// Types lists every translator type that a volfile may name.
func Types() []*xlator.Type {
	return []*xlator.Type{
		locks.Type(),
	}
}

// Find returns the type of that name, or nil.
func Find(name string) *xlator.Type {
	for _, t := range Types() {
		if t.Name == name {
			return t
		}
	}
	return nil
}
