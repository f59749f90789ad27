package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/holdfast/holdfast/tests/lab/relay"
)

// The lab asks glusterd by itself what clients ask it, so that the program under
// test does not judge itself.

const (
	// authGlusterfs is the flavour of credentials that glusterd takes.
	authGlusterfs = 390039
	// opVersion is what a client of release 10 says that it can do.
	opVersion = "100000"
	// callTimeout is for one call to glusterd.
	callTimeout = 30 * time.Second
	lastMark    = 1 << 31
)

func xdrString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	b = append(b, s...)
	return append(b, make([]byte, -len(s)&3)...)
}

// takeString takes an XDR string or opaque off b.
func takeString(b []byte) (s string, rest []byte, err error) {
	if len(b) < 4 {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint32(b))
	if padded := (n + 3) &^ 3; padded < n || padded > len(b)-4 {
		return "", nil, io.ErrUnexpectedEOF
	}
	return string(b[4 : 4+n]), b[4+(n+3)&^3:], nil
}

func appendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

// ask makes one call and returns its results.
func ask(addr string, what relay.Call, version uint32, args []byte) ([]byte, error) {
	c, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, fmt.Errorf("ask glusterd: %w", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(callTimeout))
	const xid = 1
	body := appendWords(nil, xid, 0, 2, what.Program(), version, what.Procedure())
	// pid, uid, gid, no groups, a lock owner of 4 bytes.
	body = appendWords(body, authGlusterfs, 24, 1, 0, 0, 0, 4, 0)
	body = append(appendWords(body, 0, 0), args...)
	if _, err := c.Write(append(appendWords(nil, lastMark|uint32(len(body))), body...)); err != nil {
		return nil, fmt.Errorf("ask glusterd %v: %w", what, err)
	}
	var mark [4]byte
	if _, err := io.ReadFull(c, mark[:]); err != nil {
		return nil, fmt.Errorf("ask glusterd %v: %w", what, err)
	}
	reply := make([]byte, binary.BigEndian.Uint32(mark[:])&^lastMark)
	if _, err := io.ReadFull(c, reply); err != nil {
		return nil, fmt.Errorf("ask glusterd %v: %w", what, err)
	}
	const header = 24
	if len(reply) < header || binary.BigEndian.Uint32(reply[8:]) != 0 || binary.BigEndian.Uint32(reply[20:]) != 0 {
		return nil, fmt.Errorf("glusterd refuses %v: %x", what, reply)
	}
	return reply[header:], nil
}

// spec is the reply to GETSPEC.
type spec struct {
	result, errno uint32
	volfile       string
	dict          string
}

func parseSpec(b []byte) (s spec, err error) {
	if len(b) < 8 {
		return s, io.ErrUnexpectedEOF
	}
	s.result, s.errno = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if s.volfile, b, err = takeString(b[8:]); err != nil {
		return s, err
	}
	s.dict, _, err = takeString(b)
	return s, err
}

func (s spec) encode() []byte {
	return xdrString(xdrString(appendWords(nil, s.result, s.errno), s.volfile), s.dict)
}

// getspec asks for a volume's volfile.
func getspec(addr, volume string) (string, error) {
	dict := appendWords(nil, 2)
	for _, kv := range [][2]string{{"min-op-version", "1"}, {"max-op-version", opVersion}} {
		dict = appendWords(dict, uint32(len(kv[0])), uint32(len(kv[1])+1))
		dict = append(dict, kv[0]+"\x00"+kv[1]+"\x00"...)
	}
	args := xdrString(xdrString(appendWords(nil, 0), volume), string(dict))
	b, err := ask(addr, relay.Getspec, 2, args)
	if err != nil {
		return "", err
	}
	s, err := parseSpec(b)
	if err != nil {
		return "", fmt.Errorf("volfile of %s: %w", volume, err)
	}
	if int32(s.result) < 0 {
		return "", fmt.Errorf("volfile of %s: glusterd says errno %d", volume, s.errno)
	}
	if s.volfile = strings.TrimRight(s.volfile, "\x00"); s.volfile == "" {
		return "", errors.New("volfile of " + volume + ": it is empty")
	}
	return s.volfile, nil
}

// portByBrick asks for a brick's port; 0 if glusterd knows none.
func portByBrick(addr, path string) (int, error) {
	b, err := ask(addr, relay.PortByBrick, 1, xdrString(nil, path))
	if err != nil {
		return 0, err
	}
	return portOf(b)
}

// portAt is where the port is in the reply to PORTBYBRICK: behind result, errno
// and status.
const portAt = 12

func portOf(results []byte) (int, error) {
	if len(results) < portAt+4 {
		return 0, fmt.Errorf("port of a brick: a reply of %d bytes", len(results))
	}
	if int32(binary.BigEndian.Uint32(results)) < 0 {
		return 0, nil
	}
	return int(binary.BigEndian.Uint32(results[portAt:])), nil
}
