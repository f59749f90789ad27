package workload

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attrs is a file or directory with the extended attributes it must have.
type attrs struct {
	w    *worker
	path string
	want map[string]string
}

// xattr sets, reads, lists and removes extended attributes.
func xattr(w *worker) error {
	var all []*attrs
	for i := range 4 {
		a := &attrs{w: w, path: w.path("x%d", i), want: map[string]string{}}
		var err error
		if i == 0 {
			err = w.mkdir(a.path)
		} else {
			err = w.static(a.path, nil)
		}
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	w.begin()
	for w.running() {
		if err := all[w.rng.IntN(len(all))].step(); err != nil {
			return err
		}
	}
	for _, a := range all {
		if err := a.list(); err != nil {
			return err
		}
		for k := range a.want {
			if err := a.get(k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *attrs) step() error {
	key := fmt.Sprintf("user.key%d", a.w.rng.IntN(8))
	switch n := a.w.rng.IntN(10); {
	case n < 3:
		return a.put(key)
	case n < 7:
		return a.get(key)
	case n < 8:
		return a.list()
	}
	return a.remove(key)
}

func (a *attrs) put(key string) error {
	_, there := a.want[key]
	flags := []int{0, unix.XATTR_CREATE, unix.XATTR_REPLACE}[a.w.rng.IntN(3)]
	value := string(noise(a.w.rng, a.w.rng.IntN(200)))
	err := a.w.timed(func() error { return unix.Setxattr(a.path, key, []byte(value), flags) })
	var want error
	switch {
	case flags == unix.XATTR_CREATE && there:
		want = unix.EEXIST
	case flags == unix.XATTR_REPLACE && !there:
		want = unix.ENODATA
	}
	if err != want {
		return fmt.Errorf("setxattr %s flags %d (there: %t): %v, want %v", key, flags, there, err, want)
	}
	if err == nil {
		a.want[key] = value
	}
	return nil
}

func (a *attrs) get(key string) error {
	want, there := a.want[key]
	b := make([]byte, 256)
	var n int
	err := a.w.timed(func() (err error) { n, err = unix.Getxattr(a.path, key, b); return })
	switch {
	case !there && err == unix.ENODATA:
		return nil
	case err != nil:
		return fmt.Errorf("getxattr %s (there: %t): %w", key, there, err)
	case !there:
		return fmt.Errorf("getxattr %s: it is there after its removal", key)
	case string(b[:n]) != want:
		return fmt.Errorf("getxattr %s: %x, want %x", key, b[:n], want)
	}
	return nil
}

func (a *attrs) list() error {
	b := make([]byte, 4096)
	var n int
	err := a.w.timed(func() (err error) { n, err = unix.Listxattr(a.path, b); return })
	if err != nil {
		return fmt.Errorf("listxattr: %w", err)
	}
	var got, want []string
	for name := range strings.SplitSeq(string(b[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") {
			got = append(got, name)
		}
	}
	for k := range a.want {
		want = append(want, k)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("listxattr: %v, want %v", got, want)
	}
	return nil
}

func (a *attrs) remove(key string) error {
	_, there := a.want[key]
	err := a.w.timed(func() error { return unix.Removexattr(a.path, key) })
	if there && err != nil || !there && err != unix.ENODATA {
		return fmt.Errorf("removexattr %s (there: %t): %v", key, there, err)
	}
	delete(a.want, key)
	return nil
}
