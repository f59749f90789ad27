// Package gluster holds a mount of holdfast against a real GlusterFS: glusterd and
// bricks of Debian's packages, in a lab of the test's own (package lab), beside
// stock clients. Nothing of the server is mocked; faults on the wire are the
// lab's relay.
//
// The tests run beside each other, each in a lab of its own, and do each thing a few
// times. For more there are variables of the environment:
//
//	HOLDFAST_TEST_BRICK_RESTARTS  restarts of a brick under load (50 in a long run)
//	HOLDFAST_TEST_CUTS            connections lost under load
//	HOLDFAST_TEST_LIES            wrong records of each kind that a brick sends
//	HOLDFAST_TEST_KILLS           deaths of the worker under load (500 in a long run)
//	HOLDFAST_TEST_LONG            1: the longest listings, too
//
// It owns what each test makes: a lab, volfiles written by hand or glusterd's, mounts. All of it
// is gone when the test ends. There are no locks, tests keep their mounts, and
// what a crash leaves behind is what packages lab and mnt leave: nothing.
package gluster
