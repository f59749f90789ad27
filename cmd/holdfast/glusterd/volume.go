package glusterd

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Volume is what a source of the form HOST[,HOST...]:/VOLUME[/SUBDIR] names.
type Volume struct {
	// Servers are names or addresses of management daemons, in order of
	// preference, without brackets.
	Servers []string
	Name    string
	// Subdir is a directory in the volume that is to be the root, as /a/b; "" is
	// the volume's own.
	Subdir string
}

// IsVolume reports whether a source is of that form: a colon before the first
// slash. (A directory of such a name is written with ./ in front.)
func IsVolume(source string) bool {
	host, _, ok := cutHost(source)
	return ok && host != ""
}

// cutHost cuts a source at the colon that ends the hosts. Colons of IPv6
// addresses are in brackets, or the first colon with a slash behind it counts.
func cutHost(source string) (hosts, volume string, ok bool) {
	slash := strings.IndexByte(source, '/')
	if slash < 0 {
		slash = len(source)
	}
	before := source[:slash]
	if strings.HasSuffix(before, ":") {
		return before[:len(before)-1], source[slash:], true
	}
	depth := 0
	for i := range len(before) {
		switch before[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if depth == 0 {
				return before[:i], source[i+1:], true
			}
		}
	}
	return "", "", false
}

// ParseVolume reads such a source.
func ParseVolume(source string) (Volume, error) {
	fail := func(err error) (Volume, error) { return Volume{}, fmt.Errorf("source %s: %w", source, err) }
	hosts, rest, ok := cutHost(source)
	if !ok {
		return fail(errors.New("not of the form HOST:/VOLUME"))
	}
	var v Volume
	for h := range strings.SplitSeq(hosts, ",") {
		h, err := parseHost(h)
		if err != nil {
			return fail(err)
		}
		v.Servers = append(v.Servers, h)
	}
	rest = strings.TrimLeft(rest, "/")
	v.Name, rest, _ = strings.Cut(rest, "/")
	switch {
	case v.Name == "":
		return fail(errors.New("the volume is missing: HOST:/VOLUME"))
	case strings.ContainsAny(v.Name, " \t\r\n\"\\`") || len(v.Name) > maxName:
		return fail(fmt.Errorf("%q cannot be the name of a volume", v.Name))
	}
	var err error
	if v.Subdir, err = ParseSubdir(rest); err != nil {
		return fail(err)
	}
	return v, nil
}

// maxName bounds the name of a volume, as glusterd does.
const maxName = 255

// ParseSubdir reads a directory of a volume, with or without a slash in front;
// "" is its root.
func ParseSubdir(dir string) (string, error) {
	if slices.Contains(strings.Split(dir, "/"), "..") {
		return "", fmt.Errorf("directory %s: .. has no place in it", dir)
	}
	if strings.ContainsAny(dir, "\x00\r\n`") {
		return "", fmt.Errorf("directory %q cannot be written in a volfile", dir)
	}
	if dir = path.Clean("/" + dir); dir == "/" {
		return "", nil
	}
	return dir, nil
}

// ParseServers reads a list of hosts separated by colons, IPv6 addresses in
// brackets (mount.glusterfs's backup-volfile-servers).
func ParseServers(list string) ([]string, error) {
	var servers []string
	for rest := list; rest != ""; {
		end := strings.IndexByte(rest, ':')
		if rest[0] == '[' {
			if end = strings.IndexByte(rest, ']') + 1; end == 0 {
				return nil, fmt.Errorf("%s: a bracket is not closed", list)
			}
			if end < len(rest) && rest[end] != ':' {
				return nil, fmt.Errorf("%s: servers are separated by colons", list)
			}
		} else if end < 0 {
			end = len(rest)
		}
		h, err := parseHost(rest[:end])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		servers = append(servers, h)
		rest = strings.TrimPrefix(rest[end:], ":")
	}
	if len(servers) == 0 {
		return nil, errors.New("no server is named")
	}
	return servers, nil
}

// parseHost takes the brackets off an IPv6 address and refuses what is no host.
func parseHost(h string) (string, error) {
	bare, bracketed := strings.CutPrefix(h, "[")
	if bracketed {
		var closed bool
		if bare, closed = strings.CutSuffix(bare, "]"); !closed {
			return "", fmt.Errorf("host %s: a bracket is not closed", h)
		}
	}
	if strings.Contains(bare, ":") || bracketed {
		if a, err := netip.ParseAddr(bare); err != nil || !a.Is6() {
			return "", fmt.Errorf("host %s is not an IPv6 address", h)
		}
		return bare, nil
	}
	if bare == "" {
		return "", errors.New("a host is missing")
	}
	if strings.ContainsFunc(bare, func(r rune) bool { return r <= ' ' || strings.ContainsRune("[]/@,;\"'`\\", r) }) {
		return "", fmt.Errorf("%q is not the name of a host", h)
	}
	return bare, nil
}

// String is the source in its normal form.
func (v Volume) String() string {
	hosts := make([]string, len(v.Servers))
	for i, h := range v.Servers {
		if hosts[i] = h; strings.Contains(h, ":") {
			hosts[i] = "[" + h + "]"
		}
	}
	return strings.Join(hosts, ",") + ":/" + v.Name + v.Subdir
}
