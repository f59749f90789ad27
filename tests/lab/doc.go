// Package lab runs a real GlusterFS on this machine for tests: a management
// daemon (glusterd), volumes, brick processes and stock clients, all of the
// test's own, and a relay between clients and them for faults on the wire.
//
//	l := lab.Start(t)
//	v := l.Volume("one")                        // created and started, one brick
//	m := l.MountStock(v)                        // the stock client at m.Dir
//	v.Set("performance.write-behind", "off")
//	v.Bricks[0].Kill()                          // SIGKILL
//	v.StartForce()                              // back, on another port
//
//	r := l.Relay()
//	m = l.MountStock(v, lab.Via(r))
//	f := r.Brick(v.Bricks[0]).Arm(t, relay.Fault{Call: relay.Create, At: relay.BeforeReply})
//
// It needs root and Debian's glusterfs-server and glusterfs-client; without
// them a test fails and says so. A lab starts in well under a second, so each
// test has its own; nothing is shared.
//
// # Why several labs can run beside each other
//
// GlusterFS has fixed names for its sockets, state and logs, and the fixed port
// 24007. So everything of a lab but the clients runs in a mount namespace with
// a root of its own (system folders read-only, the rest a tmpfs), and at an own
// address, 127.A.B.100, which glusterd hands to its bricks: nothing listens
// elsewhere. There is no network namespace: a client under test needs none of
// this and mounts Host:/volume. A glusterd outside that listens on all addresses
// does clash; Start says so.
//
// Bricks lie on ext4 in a loop file, because not every file system of a temporary
// folder has the trusted xattrs that a brick needs, and readdir offsets differ.
// Brick.Dir is a brick's folder as the test can see it.
//
// glusterd asks its geo-replication program twenty times when it starts, which
// takes two seconds; in here a script answers for that.
//
// # Which way through the relay
//
// A client asks glusterd for the volfile (GETSPEC), takes each brick's host out of
// it (remote-host), asks the glusterd of *that host* for the brick's port
// (PORTBYBRICK), and connects to that host and port. A relay that rewrote ports
// only would be passed by, for the volfile names the lab's own address; and a
// changed volfile would be another thing to test than what users have. So the
// relay has an address of its own, Relay.Host, 127.A.B.101 and up, with glusterd's
// port and the bricks' ports: a client that is pointed at Relay.Host instead of
// Lab.Host, and at nothing else, passes through it for everything. On the way
//   - in GETSPEC's reply the address in remote-host is replaced by the relay's (both
//     have the same length, the rest is unchanged byte for byte);
//   - PORTBYBRICK's reply is read, and the relay listens on that port of its own
//     address before it passes the reply on. Only if that port is taken, the port
//     in the reply changes. A brick that comes back on another port needs nothing.
//
// A client with a volfile from elsewhere gets Relay.Volfile, which is what GETSPEC
// gave it, through the relay. A brick behind the relay that is down accepts and
// resets instead of refusing; Refuse on its Gate makes it refuse.
//
// # What it owns
//
// Per lab: a temporary folder on the host (mount points and logs of clients); a
// bash that is process 1 of a PID namespace and holds the mount namespace; all
// processes in there; one loop device; a guard, a shell outside. All of it is gone
// when the test ends; what is not, and a daemon that has died by itself, fails the
// test.
//
// # Lock order
//
// Lab.commands is held while a gluster command runs: glusterd refuses two at a time.
// Relay.mu is held while a Gate's is taken. A Lab's other state is for the
// goroutine of the test.
//
// # Who keeps whom alive
//
// The test keeps the Lab. Process 1 keeps everything in the lab: when it ends, the
// kernel kills all processes of its PID namespace, the last of them takes the mount
// namespace along, and that the loop device. Stock clients are children of the test
// process, outside of the PID namespace, since a client looks at its callers' PIDs.
//
// # What a crash leaves behind
//
// Nothing: process 1 and the guard see their standard input end with the test
// process. The guard kills the clients, unmounts what is below the temporary folder
// and removes it.
package lab
