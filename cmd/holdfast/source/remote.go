package source

import (
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/graph/volfile"
)

// Volume is what a remote source names.
func (s Source) Volume() (glusterd.Volume, error) {
	if s.Remote == "" {
		return glusterd.Volume{}, fmt.Errorf("%s is no volume of a server", s)
	}
	return glusterd.ParseVolume(s.Remote)
}

// Below is the source with that directory of the volume for its root, as the
// mount option subdir-mount asks for; "" changes nothing.
func (s Source) Below(subdir string) (Source, error) {
	if subdir == "" {
		return s, nil
	}
	v, err := s.Volume()
	if err != nil {
		return s, fmt.Errorf("mount option subdir-mount: %w", err)
	}
	if v.Subdir != "" && v.Subdir != subdir {
		return s, fmt.Errorf("mount option subdir-mount is %s, and %s names %s", subdir, s, v.Subdir)
	}
	v.Subdir = subdir
	return Source{Remote: v.String()}, nil
}

// clientType is the type of the translators that talk to bricks.
const clientType = "protocol/client"

// Parse reads a volfile that was fetched for the source. Where a directory of the
// volume is to be the root, the translators that talk to bricks are told.
func (s Source) Parse(text string) (*volfile.File, error) {
	v, err := s.Volume()
	if err != nil {
		return nil, err
	}
	f, err := volfile.Parse(s.Remote, []byte(text))
	if err != nil || v.Subdir == "" {
		return f, err
	}
	told := false
	for _, x := range f.Volumes {
		if x.Type == clientType {
			x.Options = append(x.Options, volfile.Option{Key: "subdir-mount", Value: v.Subdir})
			told = true
		}
	}
	if !told {
		return nil, errors.New(s.Remote + ": the volfile has no bricks, so no directory of it can be mounted")
	}
	// Through the parser again, so that lines are right.
	return volfile.Parse(s.Remote, f.Format())
}
