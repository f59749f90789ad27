package keeper

import (
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Notifier talks to a service manager that stores descriptors for the next
// process of a service (sd_notify(3), FileDescriptorStoreMax= in
// systemd.service(5)). A nil Notifier talks to nobody.
type Notifier struct {
	fd int
	to unix.Sockaddr
}

// NewNotifier returns one for the manager that NOTIFY_SOCKET names, or nil.
func NewNotifier() (*Notifier, error) {
	addr := os.Getenv("NOTIFY_SOCKET")
	if addr == "" {
		return nil, nil
	}
	_ = os.Unsetenv("NOTIFY_SOCKET")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("tell the service manager: %w", err)
	}
	return &Notifier{fd, &unix.SockaddrUnix{Name: addr}}, nil // "@" is the abstract name space to both
}

// Ready says that the service serves.
func (n *Notifier) Ready(status string) error { return n.send("READY=1\nSTATUS=" + status + "\n") }

// Store hands a descriptor over, under a name that Stored returns again. What
// is stored under that name already is taken away first.
func (n *Notifier) Store(name string, fd int) error {
	if err := n.Remove(name); err != nil {
		return err
	}
	return n.send("FDSTORE=1\nFDNAME="+name+"\n", fd)
}

// Remove takes a descriptor back.
func (n *Notifier) Remove(name string) error {
	return n.send("FDSTOREREMOVE=1\nFDNAME=" + name + "\n")
}

func (n *Notifier) send(text string, fds ...int) error {
	if n == nil {
		return nil
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(n.fd, []byte(text), oob, n.to, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Stored returns the descriptors that the service manager gave to this process,
// by the name under which they were stored (sd_listen_fds(3)). They are the
// caller's.
func Stored() map[string][]int {
	defer func() {
		for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			_ = os.Unsetenv(v)
		}
	}()
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	all := map[string][]int{}
	for i := range n {
		fd, name := 3+i, ""
		unix.CloseOnExec(fd)
		if i < len(names) {
			name = names[i]
		}
		all[name] = append(all[name], fd)
	}
	return all
}

const storedPrefix = "mount-"

// storedName is a mount's descriptor's name at the service manager, which takes
// no colon and nothing odd.
func storedName(id, name string) string {
	return storedPrefix + id + "-" + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// parseStored undoes storedName.
func parseStored(s string) (id, name string, ok bool) {
	rest, ok := strings.CutPrefix(s, storedPrefix)
	id, enc, ok2 := strings.Cut(rest, "-")
	b, err := base64.RawURLEncoding.DecodeString(enc)
	return id, string(b), ok && ok2 && err == nil
}

// stores is what a service manager has stored, by mount.
func stores(given map[string][]int) (mounts map[string]*Store, rest []int) {
	mounts = map[string]*Store{}
	for _, s := range slices.Sorted(keys(given)) {
		id, name, ok := parseStored(s)
		if !ok {
			rest = append(rest, given[s]...)
			continue
		}
		if mounts[id] == nil {
			mounts[id] = NewStore()
		}
		for _, fd := range given[s] {
			mounts[id].Put(name, fd)
		}
	}
	return mounts, rest
}

func keys(m map[string][]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
