package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

// mount asks the kernel for the mount. The graph is up.
func (d *Daemon) mount() error {
	o := &d.cfg.Options
	opts := fuse.Options{
		Source: d.cfg.Source, Mountpoint: d.mountpoint, Subtype: "holdfast", Flags: o.Flags,
		AttrTimeout: o.AttrTimeout, EntryTimeout: o.EntryTimeout, NegativeTimeout: o.NegativeTimeout,
		MaxWrite: o.MaxWrite, MaxBackground: o.MaxBackground, ReadAhead: o.ReadAhead,
		ReadOnly: o.ReadOnly(), ACL: o.ACL, DirectIO: o.DirectIO, KeepCache: o.KeepCache, Log: d.log,
	}
	if o.AllowOther {
		opts.Data = append(opts.Data, "allow_other")
	}
	if o.DefaultPermissions {
		opts.Data = append(opts.Data, "default_permissions")
	}
	dev, err := fuse.Mount(opts)
	if err != nil {
		return err
	}
	if d.session, err = fuse.NewSession(opts, dev, state.Plain()); err != nil {
		return errors.Join(err, fuse.Unmount(d.mountpoint), dev.Close())
	}
	d.since = time.Now()
	if o.Congestion > 0 {
		path := fmt.Sprintf("/sys/fs/fuse/connections/%d/congestion_threshold", d.session.Connection())
		if err := os.WriteFile(path, []byte(strconv.Itoa(o.Congestion)), 0); err != nil {
			d.log.Warn("congestion-threshold", "err", err)
		}
	}
	return nil
}
