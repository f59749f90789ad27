package client

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// key is what makes two graphs share a session. It is comparable.
type key struct {
	network            string // for net.Dial
	host               string
	port               int    // 0: the management daemon is asked
	path               string // of a unix socket
	subvolume          string
	subdir             string
	username, password string
	secure             bool    // over TLS
	tls                rpc.TLS // if secure
}

// tlsFile is a file of GlusterFS in OpenSSL's folder: Debian's bricks and stock
// clients look there when the volfile does not name another.
func tlsFile(what string) string { return "/usr/lib/ssl/glusterfs." + what }

func orElse(v, otherwise string) string {
	if v != "" {
		return v
	}
	return otherwise
}

// managementPort is glusterd's.
const managementPort = 24007

// defaultDeadline is xlator.MountOptions.RecoveryDeadline's.
const defaultDeadline = 60 * time.Second

func keyOf(v xlator.Values) (key, error) {
	k := key{
		network: "tcp", host: v.String("remote-host"), port: int(v.Int("remote-port")), path: v.String("transport.socket.connect-path"),
		subvolume: v.String("remote-subvolume"), subdir: v.String("subdir-mount"),
		username: v.String("username"), password: v.String("password"),
	}
	if k.secure = v.Bool("transport.socket.ssl-enabled"); k.secure {
		k.tls = rpc.TLS{
			Certificate: orElse(v.String("transport.socket.ssl-own-cert"), tlsFile("pem")),
			Key:         orElse(v.String("transport.socket.ssl-private-key"), tlsFile("key")),
			Authorities: orElse(v.String("transport.socket.ssl-ca-list"), tlsFile("ca")),
			Depth:       int(v.Int("transport.socket.ssl-cert-depth")),
		}
	}
	family, transport := v.String("transport.address-family"), v.String("transport-type")
	switch {
	case family == "unix" || strings.HasPrefix(transport, "unix"):
		k.network = "unix"
	case family == "inet":
		k.network = "tcp4"
	case family == "inet6":
		k.network = "tcp6"
	}
	switch {
	case k.subvolume == "":
		return k, errors.New("option remote-subvolume is required: the path of the brick on its server")
	case k.network == "unix" && k.path == "":
		return k, errors.New("option transport.socket.connect-path is required for a unix socket")
	case k.network != "unix" && k.host == "":
		return k, errors.New("option remote-host is required: the name or address of the brick's server")
	}
	return k, nil
}

// String names the session in the pool and with the keeper. It does not give the
// password away.
func (k key) String() string {
	at := k.path
	if k.network != "unix" {
		at = net.JoinHostPort(k.host, strconv.Itoa(k.port))
	}
	secret := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%t%+v", k.username, k.password, k.secure, k.tls))
	return fmt.Sprintf("client:%s:%s:%s%s:%x", k.network, at, k.subvolume, k.subdir, secret[:4])
}

// brick is the brick's name for people.
func (k key) brick() string {
	if k.network == "unix" {
		return k.path + ":" + k.subvolume
	}
	return k.host + ":" + k.subvolume
}

// settings are the options that may change while the session goes on.
type settings struct {
	ping, frame, deadline time.Duration
	loss                  lockLoss
	groups                bool // send supplementary groups
	filterDirect          bool
	access                bool // have the brick note when a file was read
	socket                rpc.SocketOptions
}

// lockLoss is what becomes of the locks of a lost session.
type lockLoss uint8

const (
	lossCheck lockLoss = iota
	lossFail
	lossDrop
)

func settingsOf(v xlator.Values, m *xlator.MountOptions) *settings {
	s := &settings{
		ping: v.Duration("ping-timeout"), frame: v.Duration("frame-timeout"), deadline: v.Duration("recovery-deadline"),
		groups: v.Bool("send-gids"), filterDirect: v.Bool("filter-O_DIRECT"),
		socket: rpc.SocketOptions{UserTimeout: v.Duration("transport.tcp-user-timeout")},
	}
	if !v.IsSet("recovery-deadline") {
		if s.deadline = m.RecoveryDeadline; s.deadline == 0 {
			s.deadline = defaultDeadline
		}
	}
	if v.Bool("transport.socket.keepalive") {
		s.socket.KeepAliveTime = v.Duration("transport.socket.keepalive-time")
		s.socket.KeepAliveInterval = v.Duration("transport.socket.keepalive-interval")
		s.socket.KeepAliveCount = int(v.Int("transport.socket.keepalive-count"))
	}
	loss := v.String("lock-loss")
	if loss == "" {
		loss = m.LockLoss
	}
	switch {
	case loss == "fail", loss == "" && v.Bool("strict-locks"):
		s.loss = lossFail
	case loss == "drop":
		s.loss = lossDrop
	}
	return s
}
