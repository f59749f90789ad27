package lab

import (
	"strings"
	"testing"
)

func TestMissingProgramIsNamedWithItsPackage(t *testing.T) {
	err := checkPrograms(append(needed(), [2]string{"glusterx", "glusterfs-x"}))
	if err == nil || !strings.Contains(err.Error(), "glusterx (Debian package glusterfs-x)") || strings.Contains(err.Error(), "glusterd") {
		t.Errorf("a missing program: %v", err)
	}
}
