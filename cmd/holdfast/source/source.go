package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

// Source is what is mounted. Exactly one of its fields is set.
type Source struct {
	// Dir is the directory with the data, absolute.
	Dir string
	// Volfile is the file with the graph, absolute.
	Volfile string
	// Remote is a volume of GlusterFS servers, in the normal form of
	// glusterd.Volume.
	Remote string `json:",omitempty"`
}

// Open tells what name is: a directory, a .vol file or a volume of a server. The
// network is left alone.
func Open(name string) (Source, error) {
	if name == "" {
		return Source{}, errors.New("the source is empty; give a directory, a .vol file or HOST:/VOLUME")
	}
	if glusterd.IsVolume(name) {
		v, err := glusterd.ParseVolume(name)
		return Source{Remote: v.String()}, err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return Source{}, err
	}
	st, err := os.Stat(abs)
	switch {
	case err != nil:
		return Source{}, fmt.Errorf("source %s: %w", name, unwrap(err))
	case st.IsDir():
		return Source{Dir: abs}, nil
	case !st.Mode().IsRegular():
		return Source{}, fmt.Errorf("source %s is neither a directory nor a .vol file", name)
	case !strings.HasSuffix(abs, ".vol"):
		return Source{}, fmt.Errorf("source %s is a file, but its name does not end in .vol", name)
	}
	return Source{Volfile: abs}, nil
}

// unwrap drops the system call and the path, which the message has already.
func unwrap(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// String is the path, or the volume.
func (s Source) String() string { return s.Dir + s.Volfile + s.Remote }

// Load returns the volfile to build the graph from: the file's, or the default
// graph with the settings. A volume of a server has to be fetched (see Remote).
func (s Source) Load(set Settings) (*volfile.File, error) {
	switch {
	case s.Remote != "":
		return nil, fmt.Errorf("volume %s has not been fetched", s.Remote)
	case s.Volfile == "":
		return DefaultGraph(s.Dir, set)
	}
	f, err := os.Open(s.Volfile)
	if err != nil {
		return nil, fmt.Errorf("volfile %s: %w", s.Volfile, unwrap(err))
	}
	defer f.Close()
	b, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("volfile %s: %w", s.Volfile, unwrap(err))
	}
	return volfile.Parse(s.Volfile, b)
}

// DefaultGraph makes the graph of a directory volume: io-stats, md-cache,
// write-behind, locks and posix, as changed by the settings.
func DefaultGraph(dir string, set Settings) (*volfile.File, error) {
	base := baseName(dir)
	f := &volfile.File{}
	for _, l := range layers {
		if !l.always && !set.has(l.typ, l.on) {
			continue
		}
		v := &volfile.Volume{Name: base + l.suffix, Type: l.typ}
		if l.typ == "storage/posix" {
			v.Options = append(v.Options, volfile.Option{Key: "directory", Value: dir})
		}
		v.Options = append(v.Options, set.options(l.typ)...)
		if n := len(f.Volumes); n > 0 {
			v.Subvolumes = []string{f.Volumes[n-1].Name}
		}
		f.Volumes = append(f.Volumes, v)
	}
	// Through the parser, so that messages have a line and the rules hold.
	return volfile.Parse(dir+" (default graph)", f.Format())
}

// has reports whether a translator is in the graph.
func (s Settings) has(typ string, on bool) bool {
	for k, targets := range settings {
		if v, ok := s[k]; ok && targets[0] == (target{typ, ""}) {
			on, _ = xlator.ParseBool(v)
		}
	}
	return on
}

// options returns what is set for a translator, in a stable order.
func (s Settings) options(typ string) []volfile.Option {
	byName := map[string]string{}
	// A setting of one translator wins over one of several.
	for _, several := range []bool{true, false} {
		for k, targets := range settings {
			v, ok := s[k]
			if !ok || (len(targets) > 1) != several {
				continue
			}
			for _, t := range targets {
				if t.typ == typ && t.option != "" {
					byName[t.option] = v
				}
			}
		}
	}
	var opts []volfile.Option
	for _, k := range sortedKeys(byName) {
		opts = append(opts, volfile.Option{Key: k, Value: byName[k]})
	}
	return opts
}

// baseName is the volume's name: the directory's, without what would be odd in
// a log line.
func baseName(dir string) string {
	clean := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '_'
	}
	if name := strings.Map(clean, filepath.Base(dir)); name != "_" {
		return name
	}
	return "root"
}

// Bricks lists the directories that a graph keeps its data in.
func Bricks(f *volfile.File) []string {
	var dirs []string
	for _, v := range f.Leaves() {
		if v.Type != "storage/posix" {
			continue
		}
		if d, ok := v.Option("directory"); ok {
			dirs = append(dirs, d)
		}
	}
	return dirs
}
