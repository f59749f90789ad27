package switchtest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/workload"
)

// TestNoApplicationNoticesSwitches: a process of every kind works on the mount
// for a minute while the graph is switched every 200 ms, with every kind of
// difference between one graph and the next. None may see an error or a wrong
// byte.
func TestNoApplicationNoticesSwitches(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	hfload := mnt.Build(t, "tests/hfload")
	var ps []*workload.Process
	for i, kind := range []string{"writer", "reader", "appender", "mmap", "locker", "walker", "renamer", "tmpfile"} {
		dir := v.path(kind)
		must(t, os.Mkdir(dir, 0o755))
		ps = append(ps, mnt.Load(t, workload.Config{Kind: kind, Dir: dir, ID: i, Seed: uint64(i), Partner: hfload}))
	}
	end := time.Now().Add(60 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for time.Now().Before(end) {
		<-tick.C
		if n%10 == 9 { // in place
			v.to("performance/read-ahead", "debug/io-stats latency-measurement=on")
			v.write(v.volfile, v.text("performance/read-ahead", "debug/io-stats latency-measurement=off"))
			if r := v.Reload(v.volfile); r.Action != "reconfigured" {
				t.Errorf("a live option was %s", r.Action)
			}
		} else {
			v.step()
		}
		n++
		for _, p := range ps {
			select {
			case <-p.Ended():
				t.Fatalf("a worker ended: %+v", p.Last())
			default:
			}
		}
	}
	var ops int64
	for _, p := range ps {
		r := mnt.Stop(t, p)
		t.Logf("%s: %d operations, longest pause %v", r.Kind, r.Ops, time.Duration(r.LongestPauseUS)*time.Microsecond)
		if r.Errors != 0 || r.Ops == 0 {
			t.Errorf("%+v", r)
		}
		ops += r.Ops
	}
	v.settled()
	t.Logf("%d switches, %d operations", n, ops)
	if s := v.Status(); s.Locks.Lost != 0 || s.Locks.Held != 0 {
		t.Errorf("%+v", s.Locks)
	}
}

// TestRealProgramsWorkWhileTheGraphIsSwitched runs programs that nobody here
// wrote.
func TestRealProgramsWorkWhileTheGraphIsSwitched(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				stopped <- n
				return
			case <-time.After(300 * time.Millisecond):
				v.step()
				n++
			}
		}
	}()
	for name, script := range map[string]string{
		"git": `git init -q r && cd r && git config user.email a@b && git config user.name n &&
			for i in $(seq 40); do for j in $(seq 5); do seq $i $((i*20)) > f$j; done; git add . && git commit -qm $i || exit 1; done &&
			git gc -q && git fsck --strict && test $(git rev-list --count HEAD) = 40 && git clone -q . ../clone && cd ../clone && git status --porcelain | (! grep .)`,
		"sqlite3": `for i in $(seq 60); do sqlite3 db "create table if not exists t(a,b); insert into t select $i, hex(randomblob(500)) from generate_series(1,50);" || exit 1; done;
			test "$(sqlite3 db 'pragma integrity_check; select count(*) from t' | tr '\n' ' ')" = "ok 3000 "`,
		"tar": `mkdir src && for i in $(seq 300); do head -c $((i*97)) /dev/urandom > src/f$i; done && ln -s f1 src/link && ln src/f2 src/hard &&
			tar cf a.tar src && mkdir out && tar xf a.tar -C out && diff -r src out/src && rsync -a src/ copy/ && rsync -acn --delete -i src/ copy/ | (! grep .)`,
		"fio": `fio --name=v --directory=. --size=8M --rw=randrw --bs=4k --numjobs=2 --verify=crc32c --verify_fatal=1 --do_verify=1 --time_based=0 --loops=3 --ioengine=psync --output=fio.log || { cat fio.log; exit 1; }`,
	} {
		dir := v.path(name)
		must(t, os.Mkdir(dir, 0o755))
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			s := strings.TrimSpace(string(out))
			t.Errorf("%s: %v\n%s", name, err, s[max(0, len(s)-2000):])
		}
	}
	close(stop)
	t.Logf("%d switches", <-stopped)
	v.settled()
}
