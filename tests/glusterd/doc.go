// Package glusterd tests mounts of volumes by their name, HOST:/VOLUME, against a
// real GlusterFS: where the volfile comes from, that changes made with `gluster
// volume set` arrive, what happens while no management daemon is there, and what
// cluster/distribute leaves on the brick.
//
// HOLDFAST_TEST_VOLUME_SETS is how often the volume is changed under load (100 in a
// long run).
//
// It owns nothing, locks nothing and keeps nothing alive: labs (package lab) and
// mounts (package mnt) belong to the test that made them and end with it, and a
// crash leaves nothing behind.
package glusterd
