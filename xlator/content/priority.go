package content

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Priorities are the weights of files by name: what has more is kept longer, what
// has 0 is not kept.
type Priorities []priority

type priority struct {
	pattern string
	weight  int
}

const (
	defaultWeight = 1
	maxWeight     = 255
)

// ParsePriorities reads pattern:weight, separated by commas. Patterns are as in
// fnmatch(3).
func ParsePriorities(s string) (ps Priorities, err error) {
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		at := strings.LastIndexByte(part, ':')
		if at < 1 {
			return nil, fmt.Errorf("%q is not pattern:priority", part)
		}
		p := priority{pattern: strings.TrimSpace(part[:at])}
		if p.weight, err = strconv.Atoi(strings.TrimSpace(part[at+1:])); err != nil || p.weight < 0 || p.weight > maxWeight {
			return nil, fmt.Errorf("%q: a priority is a number from 0 to %d", part, maxWeight)
		}
		if _, err := path.Match(p.pattern, ""); err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// CheckPriorities is for the declaration of an option.
func CheckPriorities(s string) error { _, err := ParsePriorities(s); return err }

// Of is the weight of a file of that name: the greatest of the patterns that match.
func (ps Priorities) Of(name string) int {
	w, found := 0, false
	for _, p := range ps {
		if ok, _ := path.Match(p.pattern, name); ok {
			w, found = max(w, p.weight), true
		}
	}
	if !found {
		return defaultWeight
	}
	return w
}
