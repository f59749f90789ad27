package posix

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestListingFromTheStartRewindsOnceMore: some kernels leave a descriptor at the
// end of its directory although it was just sent to the start.
func TestListingFromTheStartRewindsOnceMore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, s := int(f.Fd()), &stream{}
	for {
		b, err := getdents(fd, readBuffer)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 { // the descriptor stands at the end
			break
		}
	}
	names := map[string]bool{}
	b, err := s.read(fd, readBuffer)
	for err == nil && len(b) > 0 {
		e, rest := nextDirent(b)
		names[e.Name], b = true, rest
	}
	if err != nil || len(names) != 3 || !names["."] || !names["x"] {
		t.Errorf("%v, %v", names, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	if b, err := s.read(fd, readBuffer); err != nil || len(b) > 0 {
		t.Errorf("of a removed directory: %d bytes, %v", len(b), err)
	}
}
