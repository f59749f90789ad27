package client

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator"
)

// Type is protocol/client.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:    "protocol/client",
		Summary: "A brick of a GlusterFS volume, over the network.",
		Options: options(),
		New:     newClient,
	}
}

func options() []xlator.Option {
	ignored := func(name string, kind xlator.OptionKind, why string) xlator.Option {
		return xlator.Option{Name: name, Kind: kind, Ignored: true, Live: true, Help: "GlusterFS's; accepted, changes nothing: " + why}
	}
	refused := func(name, why string, ok ...string) xlator.Option {
		return xlator.Option{Name: name, Kind: xlator.KindString, Live: true, Check: refuse(why, ok), Help: "GlusterFS's; refused: " + why}
	}
	return []xlator.Option{
		{Name: "remote-host", Kind: xlator.KindString, Help: "Name or address of the brick's server (required, but for a unix socket)."},
		{Name: "remote-port", Kind: xlator.KindInt, Min: 1, Max: 65535, Help: "Port of the brick; without it the management daemon at port 24007 of remote-host is asked, at every connection."},
		{Name: "remote-subvolume", Kind: xlator.KindString, Help: "The brick, by its path on the server (required)."},
		{Name: "transport-type", Kind: xlator.KindString, Default: "tcp", Check: checkTransport, Help: "tcp, or unix with transport.socket.connect-path."},
		{Name: "transport.address-family", Alias: []string{"address-family"}, Kind: xlator.KindString, Default: "unspec", Values: []string{"unspec", "inet", "inet6", "inet/inet6", "unix"}, Help: "inet: IPv4 only, inet6: IPv6 only."},
		{Name: "transport.socket.connect-path", Alias: []string{"connect-path"}, Kind: xlator.KindPath, Help: "Path of the unix socket."},
		{Name: "username", Kind: xlator.KindString, Help: "Name that the brick knows (auth.login); in volfiles for trusted clients."},
		{Name: "password", Kind: xlator.KindString, Help: "Its password."},
		{Name: "ping-timeout", Kind: xlator.KindTime, Default: "42", Max: 1013, Live: true, Unit: " seconds", Help: "How long a brick may be silent while a request waits for it; then the connection is given up. 0: for ever."},
		{Name: "frame-timeout", Kind: xlator.KindTime, Default: "1800", Max: 86400, Live: true, Unit: " seconds", Help: "How long one request may take on a brick that answers pings; then it fails with ETIMEDOUT. 0: for ever."},
		{Name: "recovery-deadline", Kind: xlator.KindTime, Max: 86400, Live: true, Unit: " seconds", Help: "Not of GlusterFS. How long after the loss of the brick requests wait for it; then they fail with ENOTCONN. Without it the mount's option counts."},
		{Name: "lock-loss", Kind: xlator.KindString, Values: []string{"check", "fail", "drop"}, Live: true, Help: "Not of GlusterFS. What becomes of locks when the connection is lost. check: they are taken again, and an open file whose lock somebody else has got, or that was changed, is lost (EIO); fail: all files with locks are lost; drop: the locks are gone and nobody is told, as with the stock client. Without it the mount's option counts, then strict-locks."},
		{Name: "strict-locks", Kind: xlator.KindBool, Default: "off", Live: true, Help: "on: as lock-loss=fail."},
		{Name: "send-gids", Kind: xlator.KindBool, Default: "on", Live: true, Help: "Whether the brick is told the supplementary groups of who asks; off if it resolves them itself (server.manage-gids)."},
		{Name: "filter-O_DIRECT", Alias: []string{"filter-o_direct"}, Kind: xlator.KindBool, Default: "off", Live: true, Help: "Whether O_DIRECT stays on this side (network.remote-dio)."},
		{Name: "subdir-mount", Kind: xlator.KindString, Help: "A directory of the volume, from its root, that is to be the root."},
		{Name: "volume-id", Kind: xlator.KindString, Check: checkUUID, Help: "Not of GlusterFS here. Uuid of the volume that the brick must belong to."},
		{Name: "transport.tcp-user-timeout", Kind: xlator.KindTime, Default: "0", Max: 1013, Live: true, Unit: " seconds", Help: "How long sent data may stay unacknowledged (TCP_USER_TIMEOUT); 0: the kernel's default."},
		{Name: "transport.socket.keepalive", Kind: xlator.KindBool, Default: "on", Live: true, Help: "Whether TCP probes a silent connection."},
		{Name: "transport.socket.keepalive-time", Kind: xlator.KindTime, Default: "20", Max: 32767, Live: true, Unit: " seconds", Help: "Silence before the first probe."},
		{Name: "transport.socket.keepalive-interval", Kind: xlator.KindTime, Default: "2", Max: 32767, Live: true, Unit: " seconds", Help: "Time between probes."},
		{Name: "transport.socket.keepalive-count", Kind: xlator.KindInt, Default: "9", Max: 127, Live: true, Help: "Probes without an answer that end the connection."},
		{Name: "transport.socket.ssl-enabled", Alias: []string{"ssl-enabled"}, Kind: xlator.KindBool, Default: "off", Help: "Whether the brick is spoken to over TLS (client.ssl)."},
		{Name: "transport.socket.ssl-own-cert", Alias: []string{"ssl-own-cert"}, Kind: xlator.KindPath, Help: "Our certificate, PEM. Without it " + tlsFile("pem") + "."},
		{Name: "transport.socket.ssl-private-key", Alias: []string{"ssl-private-key"}, Kind: xlator.KindPath, Help: "Its key, PEM. Without it " + tlsFile("key") + "."},
		{Name: "transport.socket.ssl-ca-list", Alias: []string{"ssl-ca-list"}, Kind: xlator.KindPath, Help: "The authorities, or the servers' own certificates, that we believe, PEM. Without it " + tlsFile("ca") + "."},
		{Name: "transport.socket.ssl-cert-depth", Alias: []string{"ssl-cert-depth"}, Kind: xlator.KindInt, Default: "1", Max: 100, Help: "How many authorities there may be between the brick's certificate and one that we believe."},
		refused("transport.socket.ssl-crl-path", "lists of revoked certificates are not read: gluster volume reset VOLUME ssl.crl-path, and take the certificate's authority out of the list of those that you believe", "", "NULL"),
		ignored("transport.socket.ssl-cipher-list", xlator.KindString, "Go's own choice of safe ones is used."),
		ignored("transport.socket.ssl-dh-param", xlator.KindString, "it is the server's."),
		ignored("transport.socket.ssl-ec-curve", xlator.KindString, "Go's own choice of safe ones is used."),
		ignored("transport.socket.nodelay", xlator.KindBool, "it is always on."),
		ignored("transport.tcp-window-size", xlator.KindSize, "the kernel sizes its buffers by itself."),
		ignored("transport.window-size", xlator.KindSize, "the kernel sizes its buffers by itself."),
		ignored("tcp-window-size", xlator.KindSize, "the kernel sizes its buffers by itself."),
		ignored("transport.socket.read-fail-log", xlator.KindBool, "a lost connection is one line in the log."),
		ignored("transport.socket.lowlat", xlator.KindBool, "it is of RDMA times."),
		ignored("transport.socket.own-thread", xlator.KindBool, "goroutines are not threads."),
		ignored("non-blocking-io", xlator.KindBool, "it is always so."),
		ignored("client-bind-insecure", xlator.KindBool, "bricks take any port unless server.allow-insecure is off."),
		ignored("event-threads", xlator.KindInt, "goroutines are not threads."),
		ignored("lk-heal", xlator.KindBool, "see lock-loss."),
		ignored("grace-timeout", xlator.KindTime, "bricks have no grace period any more."),
		ignored("ensure-durability", xlator.KindBool, "it is of replicate."),
	}
}

// refuse is a Check that takes only some values.
func refuse(why string, ok []string) func(string) error {
	return func(v string) error {
		for _, s := range ok {
			if strings.EqualFold(s, v) {
				return nil
			}
		}
		return errors.New(why)
	}
}

func checkTransport(v string) error {
	for kind := range strings.SplitSeq(v, ",") {
		switch kind {
		case "tcp", "socket", "unix":
			return nil // of several the first that works is taken
		}
	}
	return fmt.Errorf("%q is not supported: tcp or unix", v)
}

func checkUUID(v string) error {
	if _, err := uuid.Parse(v); err != nil {
		return fmt.Errorf("%q is not a uuid", v)
	}
	return nil
}

// Client is one graph's protocol/client: a leaf.
type Client struct {
	// Constant after construction.
	env  *xlator.Env
	log  *slog.Logger
	key  key
	want uuid.UUID // the volume it must be; Nil: any
	fds  xlator.FDSlot[remote]
	// removed marks directories that were removed through this graph.
	removed xlator.InodeSlot[struct{}]

	settings atomic.Pointer[settings]

	// Set by Start.
	s       *session
	release func() error
}

var _ interface {
	xlator.Fops
	xlator.Starter
	xlator.Stopper
	xlator.Reconfigurer
	xlator.VolumeIdentifier
	xlator.Identifier
	xlator.Dumper
	xlator.LockProvider
	xlator.AccessStamper
	xlator.LockRestorer
	xlator.Appender
} = (*Client)(nil)

func newClient(e *xlator.Env) (xlator.Fops, error) {
	c := &Client{env: e, log: e.Log, fds: xlator.NewFDSlot[remote](e), removed: xlator.NewInodeSlot[struct{}](e)}
	var err error
	if c.key, err = keyOf(e.Options); err != nil {
		return nil, fmt.Errorf("translator %s: %w", e.Volume, err)
	}
	if s := e.Options.String("volume-id"); s != "" {
		if c.want, err = uuid.Parse(s); err != nil {
			return nil, fmt.Errorf("translator %s: option volume-id: %w", e.Volume, err)
		}
	}
	c.settings.Store(settingsOf(e.Options, &e.Mount))
	return c, nil
}

// Reconfigure implements xlator.Reconfigurer.
func (c *Client) Reconfigure(v xlator.Values) error {
	set := settingsOf(v, &c.env.Mount)
	set.access = c.settings.Load().access // by whom is above
	c.settings.Store(set)
	if c.s != nil {
		c.s.apply(set)
	}
	return nil
}

// Identity names the brick as its session is named in the pool.
func (c *Client) Identity() string { return c.key.String() }

// VolumeID is the volume that the brick belongs to, after Start.
func (c *Client) VolumeID() uuid.UUID {
	if c.s == nil {
		return uuid.Nil
	}
	return c.s.volumeID()
}

// Appends implements xlator.Appender.
func (*Client) Appends() bool { return true }

// ProvidesLocks implements xlator.LockProvider: the brick has features/locks.
func (*Client) ProvidesLocks() {}
