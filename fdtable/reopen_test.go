package fdtable_test

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// failing is a graph whose opens of directories fail, while on.
func failing(on bool) string {
	percent := 0
	if on {
		percent = 100
	}
	return layers("features/locks") + fmt.Sprintf(
		"volume e\n type debug/error-gen\n option failure %d\n option enable opendir\n option error-no EMFILE\n subvolumes x0\nend-volume\n", percent)
}

// openRoot opens the root directory.
func (m *mount) openRoot() *file {
	m.t.Helper()
	call := m.call()
	u, err := m.table.UseNode(call, m.table.Root())
	if err != nil {
		m.t.Fatal(err)
	}
	defer u.Done()
	b := m.table.Reserve(unix.O_RDONLY)
	rep, err := u.G.Top.Opendir(call, &xlator.OpenReq{Inode: u.Inode, Base: b.FH()})
	if err != nil {
		m.t.Fatal(err)
	}
	m.table.Publish(&u, b, m.table.Root(), rep.FD)
	return &file{m, m.table.Root(), b}
}

// use resolves the base fd as a request does.
func (f *file) use(call *xlator.Call) error {
	u, err := f.m.table.UseFD(call, f.b)
	if err == nil {
		u.Done()
	}
	return err
}

func TestRequestsWaitForAFileThatCannotBeOpenedYetAndOthersDoNot(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, failing(false))
	d, f := m.openRoot(), m.create("f")
	m = k.worker(dir, failing(true))
	d, f = d.again(m), f.again(m)
	const users = 50
	var wg sync.WaitGroup
	ended := make(chan error, users+1)
	for range users {
		wg.Go(func() { ended <- d.use(m.call()) })
	}
	if err := f.write([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	interrupted := m.call()
	interrupted.PID = uint32(os.Getpid())
	wg.Go(func() { ended <- d.use(interrupted) })
	interrupted.Interrupt() // by a signal that does not end the process
	killed := m.call()
	killed.PID = 1 << 30
	killed.Interrupt()
	if err := d.use(killed); xlator.Errno(err) != unix.EINTR {
		t.Errorf("a process that is no more waits: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatal("a request did not wait:", err)
	default:
	}
	m.reload(failing(false))
	wg.Wait()
	for range users + 1 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if s := m.table.Status(); s.Restored != 2 || s.Reopened != 2 || s.Closed != 0 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRequestsGetTheErrorAtTheRecoveryDeadlineWhichIsNotSticky(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	d := k.worker(dir, failing(false)).openRoot()
	const deadline = 300 * time.Millisecond
	m := k.worker(dir, failing(true), fdtable.RecoveryDeadline(deadline))
	d = d.again(m)
	began := time.Now()
	if err := d.use(m.call()); xlator.Errno(err) != unix.EMFILE || time.Since(began) < deadline {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	if err := d.use(m.call()); xlator.Errno(err) != unix.EMFILE {
		t.Fatal(err)
	}
	m.reload(failing(false))
	until(t, "it can be used", func() bool { return d.use(m.call()) == nil })
}

func TestFileThatIsGoneIsLostAndNothingElse(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	gone, stays := m.create("gone"), m.create("stays")
	m = k.worker(dir, variants[0])
	gone, stays = gone.again(m), stays.again(m)
	g := gone.n.GFID().String()
	for _, p := range []string{"/gone", "/.glusterfs/" + g[:2] + "/" + g[2:4] + "/" + g} {
		if err := os.Remove(dir + p); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := gone.use(m.call()); xlator.Errno(err) != unix.ESTALE {
			t.Fatal(err)
		}
	}
	if err := stays.use(m.call()); err != nil {
		t.Fatal(err)
	}
	if s := m.table.Status(); s.Lost != 1 || s.Reopened != 1 {
		t.Errorf("%+v", s)
	}
	m.reload(variants[1])
	until(t, "the switch is not kept by what is lost", func() bool { return m.table.Settled() && m.mgr.Status().Live == 1 })
	gone.close()
	if err := stays.use(m.call()); err != nil {
		t.Fatal(err)
	}
	if s := m.table.Status(); s.Open != 1 || s.Pinned != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFilesThatNobodyUsesStayClosedAcrossSwitches(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	var files []*file
	for i := range 50 {
		f := m.create(fmt.Sprint("f", i))
		if err := f.write([]byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	m = k.worker(dir, variants[0])
	for i := range files {
		files[i] = files[i].again(m)
	}
	for i, f := range files[:10] {
		if got, err := f.read(1, 0); err != nil || got[0] != byte(i) {
			t.Fatal(got, err)
		}
	}
	for _, v := range variants[1:4] {
		m.reload(v)
		until(t, "the sweep is over", m.table.Settled)
		if s := m.table.Status(); s.Closed != 40 || s.Pending != 0 || s.Reopened != 10 {
			t.Errorf("%+v", s)
		}
	}
	until(t, "one graph is left", func() bool { return m.mgr.Status().Live == 1 })
	for i, f := range files {
		if got, err := f.read(1, 0); err != nil || got[0] != byte(i) {
			t.Fatal(got, err)
		}
	}
}

func TestFileIsOpenedAgainWhateverItsModeSays(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	f := k.worker(dir, variants[0]).create("f")
	if err := f.write([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/f", 0); err != nil {
		t.Fatal(err)
	}
	m := k.worker(dir, variants[0])
	if got, err := f.again(m).read(1, 0); err != nil || string(got) != "x" {
		t.Fatalf("%q, %v", got, err)
	}
}

// What is read back is what was written, whatever dies, is switched or is closed
// because it is idle. Half of the files have no name any more.
func TestOpenFilesReadBackWhatWasWrittenAcrossDeathsAndSwitches(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	texts := []string{variants[0], variants[1], variants[4]} // none that answers early: that is the session's to keep
	idle := fdtable.IdleTimeout(2 * time.Millisecond)
	m := k.worker(dir, texts[0], idle)
	var alive sync.RWMutex // held for reading by who is in a request
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var ops atomic.Int64
	for i := range 8 {
		name := fmt.Sprint("f", i)
		f := m.create(name)
		if i%2 == 0 {
			f.unlink(name)
		}
		fh := f.b.FH()
		wg.Go(func() {
			rng := rand.New(rand.NewSource(int64(i)))
			want := map[int64]uint64{}
			var buf [512]byte
			request := func(do func(f *file) error) bool {
				alive.RLock()
				defer alive.RUnlock()
				b := m.table.FD(fh)
				if b == nil {
					t.Errorf("file %d is not open any more", i)
					return false
				}
				if err := do(&file{m, b.Node(), b}); err != nil {
					t.Errorf("file %d: %v", i, err)
					return false
				}
				ops.Add(1)
				return true
			}
			for {
				select {
				case <-stop:
					request(func(f *file) error { f.close(); return nil })
					return
				default:
				}
				off := int64(rng.Intn(32)) * 512
				v, ok := want[off]
				if !request(func(f *file) error {
					if ok && rng.Intn(2) == 0 {
						got, err := f.read(512, off)
						if err == nil && (len(got) != 512 || binary.LittleEndian.Uint64(got) != v) {
							err = fmt.Errorf("%d bytes at %d are not what was written", len(got), off)
						}
						return err
					}
					v := rng.Uint64()
					binary.LittleEndian.PutUint64(buf[:], v)
					want[off] = v
					return f.write(buf[:], off)
				}) {
					return
				}
			}
		})
	}
	for i := range 30 {
		before := ops.Load()
		m.reload(texts[(i+1)%len(texts)])
		until(t, "requests go on", func() bool { return ops.Load() > before+100 || t.Failed() })
		alive.Lock()
		m = k.worker(dir, texts[i%len(texts)], idle)
		alive.Unlock()
		if t.Failed() {
			break
		}
	}
	close(stop)
	wg.Wait()
	if s := m.table.Status(); s.Open != 0 || s.Nodes != 1 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	if left, err := os.ReadDir(dir + "/.glusterfs/unlink"); err != nil || len(left) != 0 {
		t.Errorf("unlinked files are left: %v, %v", left, err)
	}
}
