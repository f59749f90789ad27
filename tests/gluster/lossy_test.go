package gluster_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// lossy makes the loopback of this network namespace lose a part of the packets
// in each direction, and takes no more than a slow line carries.
const lossy = `
table inet lossy {
	chain out {
		type filter hook output priority 0;
		ip daddr 127.0.0.0/8 tcp dport != 24007 tcp sport != 24007 meta length > 60 jump line
	}
	chain line {
		numgen random mod 200 == 0 counter drop
		limit rate over 20 mbytes/second burst 1 mbytes counter drop
	}
}
`

// alone says that this process has a network namespace of its own.
const alone = "HOLDFAST_TEST_NETNS"

// inNetns runs the test in a network namespace of its own, whose loopback obeys
// the rules, and reports whether this is the process there. It may take as long as
// limit.
func inNetns(t *testing.T, rules string, limit time.Duration) bool {
	t.Helper()
	if os.Getenv(alone) != "" {
		return true
	}
	// That the rules did lose something is shown at the end.
	script := `ip link set lo up && printf '%s' "$0" | nft -f - && "$@"; rc=$?; nft list ruleset; exit $rc`
	late := strconv.Itoa(int((limit + 20*time.Second).Seconds()))
	cmd := exec.Command("timeout", "-k", "10", late, "unshare", "--net", "sh", "-c", script, rules,
		os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", limit.String())
	cmd.Env = append(os.Environ(), alone+"=1")
	out, err := cmd.CombinedOutput()
	if t.Logf("%s", out); err != nil {
		t.Errorf("in a network namespace: %v", err)
	}
	return false
}

// TestNoApplicationNoticesTheWorkersDeathOnALossyLine: what is sent stays in
// parts in the socket for as long as TCP needs to have it on the other side.
func TestNoApplicationNoticesTheWorkersDeathOnALossyLine(t *testing.T) {
	const n = 25
	limit := 3*time.Minute + time.Duration(asked(t, "HOLDFAST_TEST_KILLS", n))*2*time.Second
	if inNetns(t, lossy, limit) {
		deaths(t, n, mountKept)
	}
}
