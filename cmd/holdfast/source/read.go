package source

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/holdfast/holdfast/graph/volfile"
)

// readAll reads a volfile, not more than one can be: the path may name
// something endless.
func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, volfile.MaxSize+1))
	if err == nil && len(b) > volfile.MaxSize {
		err = fmt.Errorf("larger than %d bytes", volfile.MaxSize)
	}
	return b, err
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
