package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// Guarantee is something that a mount promises, or does not and why.
type Guarantee struct {
	Name  string `json:"name"`
	Holds bool   `json:"holds"`
	Why   string `json:"why,omitempty"` // it does not
}

// guarantees looks at what the kernel and the limits let us promise.
func guarantees(link *keeper.Link, dev *fuse.Device) []Guarantee {
	all := []Guarantee{
		{Name: "survives-worker"}, {Name: "no-request-timeout"}, {Name: "locked-memory"}, {Name: "resend"},
	}
	if link == nil {
		all[0].Why = "there is no keeper (-o keeper=off): the mount dies with its process"
	}
	all[1].Why = requestTimeout()
	all[2].Why = lockedMemory()
	if !offers(dev, gofuse.CAP_HAS_RESEND) {
		all[3].Why = "this kernel does not send requests again (Linux 6.9 does): a damaged state memory costs the requests in flight"
	}
	for i := range all {
		all[i].Holds = all[i].Why == ""
	}
	return all
}

// missing says what does not hold, apart from what was asked for.
func missing(gs []Guarantee) (words []string) {
	for _, g := range gs {
		if !g.Holds && !strings.Contains(g.Why, "-o keeper=off") {
			words = append(words, fmt.Sprintf("%s does not hold: %s", g.Name, g.Why))
		}
	}
	return words
}

// logGuarantees says what holds, for a new mount, and what does not.
func logGuarantees(log *slog.Logger, gs []Guarantee, again bool) {
	var hold []string
	for _, g := range gs {
		if g.Holds {
			hold = append(hold, g.Name)
			continue
		}
		log.Warn("guarantee does not hold", "name", g.Name, "why", g.Why)
	}
	if !again {
		log.Info("guarantees", "hold", hold)
	}
}

// requestTimeout is for kernels that end a connection whose requests take long:
// all the more while no process serves it.
func requestTimeout() string {
	for _, name := range []string{"default_request_timeout", "max_request_timeout"} {
		b, err := os.ReadFile("/proc/sys/fs/fuse/" + name)
		if v := strings.TrimSpace(string(b)); err == nil && v != "0" {
			return fmt.Sprintf("fs.fuse.%s is %s: the kernel ends the mount when a request takes that many seconds; `sysctl fs.fuse.%s=0` before mounting", name, v, name)
		}
	}
	return ""
}

// lockedMemory is for machines that swap: a page of a request that is on its way
// out when the process is killed costs an application an EIO.
func lockedMemory() string {
	const probe = 64 << 20
	b, err := unix.Mmap(-1, 0, probe, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Munmap(b) }()
	if _, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(unsafe.SliceData(b))), probe, unix.MLOCK_ONFAULT); errno != 0 {
		var lim unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim)
		return fmt.Sprintf("memory cannot be locked (%v, limit %d bytes): where the machine swaps, a kill may cost an EIO; raise RLIMIT_MEMLOCK", errno, lim.Cur)
	}
	return ""
}

// offers reports whether the kernel has a feature, as it said at INIT.
func offers(dev *fuse.Device, flag uint64) bool {
	if len(dev.InitIn) < int(unsafe.Sizeof(gofuse.InitIn{})) {
		return false
	}
	in := (*gofuse.InitIn)(unsafe.Pointer(unsafe.SliceData(dev.InitIn)))
	return in.Flags64()&flag != 0
}
