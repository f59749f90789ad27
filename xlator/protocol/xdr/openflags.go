package xdr

import "golang.org/x/sys/unix"

// Flags of OPEN, CREATE and PUT on the wire: Linux's numbers on x86, whatever
// the machine (wire facts, 6.8) [W]. Others are dropped by the brick.
const (
	WireAccmode   = 0o3 // 0 read, 1 write, 2 both
	WireFmodeExec = 0o40
	WireCreat     = 0o100
	WireExcl      = 0o200
	WireNoctty    = 0o400
	WireTrunc     = 0o1000
	WireAppend    = 0o2000
	WireNonblock  = 0o4000
	WireSync      = 0o10000
	WireAsync     = 0o20000
	WireDirect    = 0o40000
	WireLargefile = 0o100000
	WireDirectory = 0o200000
	WireNofollow  = 0o400000
	WireNoatime   = 0o1000000
	WireCloexec   = 0o2000000
)

// fmodeExec is the kernel's mark of a file that is opened to be executed
// (include/linux/fs.h); it has one number everywhere.
const fmodeExec = 0o40

// openFlag pairs a flag of open(2) with its number on the wire.
type openFlag struct{ host, wire uint32 }

func openFlags() [14]openFlag {
	return [...]openFlag{
		{fmodeExec, WireFmodeExec},
		{unix.O_CREAT, WireCreat},
		{unix.O_EXCL, WireExcl},
		{unix.O_NOCTTY, WireNoctty},
		{unix.O_TRUNC, WireTrunc},
		{unix.O_APPEND, WireAppend},
		{unix.O_NONBLOCK, WireNonblock},
		{unix.O_SYNC, WireSync},
		{unix.O_ASYNC, WireAsync},
		{unix.O_DIRECT, WireDirect},
		{unix.O_DIRECTORY, WireDirectory},
		{unix.O_NOFOLLOW, WireNofollow},
		{unix.O_NOATIME, WireNoatime},
		{unix.O_CLOEXEC, WireCloexec},
	}
}

// OpenFlags turns flags of open(2) into those on the wire. O_DSYNC becomes
// WireSync, because there is nothing less that would do; WireLargefile is
// always set, as Linux does it for every 64-bit program.
func OpenFlags(host uint32) uint32 {
	wire := host&unix.O_ACCMODE | WireLargefile
	for _, f := range openFlags() {
		if host&f.host != 0 {
			wire |= f.wire
		}
	}
	return wire
}

// HostOpenFlags turns flags on the wire into those of open(2).
func HostOpenFlags(wire uint32) uint32 {
	host := wire & WireAccmode
	for _, f := range openFlags() {
		if wire&f.wire != 0 {
			host |= f.host
		}
	}
	return host
}
