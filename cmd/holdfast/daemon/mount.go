package daemon

import (
	"time"

	"github.com/holdfast/holdfast/fuse"
)

// mount asks the kernel for the mount. The graph is up.
func (d *Daemon) mount() error {
	o := &d.cfg.Options
	opts := fuse.Options{
		Source: d.cfg.Source, Mountpoint: d.mountpoint, Subtype: "holdfast", Flags: o.Flags,
		AttrTimeout: o.AttrTimeout, EntryTimeout: o.EntryTimeout, NegativeTimeout: o.NegativeTimeout,
		MaxWrite: o.MaxWrite, MaxBackground: o.MaxBackground,
		ReadOnly: o.ReadOnly(), ACL: o.ACL, DirectIO: o.DirectIO, KeepCache: o.KeepCache,
	}
	if o.AllowOther {
		opts.Data = append(opts.Data, "allow_other")
	}
	if o.DefaultPermissions {
		opts.Data = append(opts.Data, "default_permissions")
	}
	var err error
	d.session, err = fuse.Mount(opts)
	d.since = time.Now()
	return err
}

func (d *Daemon) kernelStatus() KernelStatus {
	return KernelStatus{}
}
