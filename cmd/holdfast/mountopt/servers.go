package mountopt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/xlator"
)

// serverOptions are mount.glusterfs's about where the volfile comes from.
func serverOptions() []Option {
	return []Option{
		{Option: xlator.Option{Name: "backup-volfile-servers", Alias: []string{"backupvolfile-server"}, Kind: xlator.KindString,
			Help: "hosts that are asked for the volfile when those of the source do not answer, separated by colons, IPv6 addresses in brackets"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) (err error) {
				o.BackupServers, err = glusterd.ParseServers(v.Text)
				return err
			}},
		{Option: xlator.Option{Name: "volfile-server-port", Alias: []string{"server-port"}, Kind: xlator.KindInt, Default: "24007", Min: 1, Max: 65535,
			Help: "where the management daemons listen"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.ServerPort = int(v.Int); return nil }},
		{Option: xlator.Option{Name: "subdir-mount", Kind: xlator.KindString,
			Help: "a directory of the volume that is to be the root, as /a/b; the source may name it as well: HOST:/VOLUME/a/b"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) (err error) {
				o.Subdir, err = glusterd.ParseSubdir(v.Text)
				return err
			}},
		{Option: xlator.Option{Name: "transport", Alias: []string{"volfile-server-transport"}, Kind: xlator.KindString, Default: "tcp", Check: checkTransport,
			Help: "tcp"},
			Arg: NeedsArg, apply: func(*Options, xlator.Value) error { return nil }},
	}
}

// checkTransport takes a list in which tcp is.
func checkTransport(list string) error {
	for kind := range strings.SplitSeq(list, ",") {
		switch kind {
		case "tcp", "socket":
			return nil
		case "rdma":
		default:
			return fmt.Errorf("%q is no transport; tcp is the only one", kind)
		}
	}
	return errors.New("RDMA is no longer part of GlusterFS; use tcp")
}
