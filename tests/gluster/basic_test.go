package gluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
)

// TestOrdinaryProgramsWork on a volume mounted from a hand-written volfile.
func TestOrdinaryProgramsWork(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	m := mount(t, l, v)
	file := filepath.Join(m.Dir, "file")
	ok(t, os.WriteFile(file, []byte("hello"), 0o644))
	b, err := os.ReadFile(filepath.Join(v.Bricks[0].Dir, "file"))
	if err != nil || string(b) != "hello" {
		t.Fatalf("on the brick: %q, %v", b, err)
	}
	script := `set -ex
cd "$1"
cat file
cp file copy; cmp file copy
cp -r /etc/apt apt; diff -r /etc/apt apt
ls -laR . > /dev/null
mkdir -p a/b/c; mv a x; rmdir x/b/c
ln copy hard; ln -s copy soft; test "$(cat soft)" = hello; test "$(stat -c %h copy)" = 2
rm hard; test "$(stat -c %h copy)" = 1
git init -q repo; cd repo
git config user.email a@b.c; git config user.name n
for i in 1 2 3 4 5; do echo $i > f$i; done
git add .; git commit -qm one; git log --oneline; git status --short; git fsck
cd ..; rm -r repo apt
df . > /dev/null
dd if=/dev/urandom of=big bs=1M count=8 status=none; cp big big2; cmp big big2; truncate -s 3M big; test $(stat -c %s big) = 3145728
`
	out, err := exec.Command("timeout", "120", "bash", "-c", script, "script", m.Dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
