// Package gluster holds a mount of holdfast against a real GlusterFS: glusterd and
// bricks of Debian's packages, in a lab of the test's own (package lab), beside
// stock clients. Nothing of the server is mocked; faults on the wire are the
// lab's relay.
//
// The client that is held against it is in the making, so the tests are not in
// `make test` yet; they run with
//
//	go test -tags gluster ./tests/gluster
//
// It owns what each test makes: a lab, volfiles written by hand, mounts. All of it
// is gone when the test ends. There are no locks, tests keep their mounts, and
// what a crash leaves behind is what packages lab and mnt leave: nothing.
package gluster
