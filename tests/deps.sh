#!/bin/sh
# Sees that the programs which the tests and benchmarks run are there: installs
# Debian's packages when run as root, else names them.
set -eu

# program:package. None of them starts a service when it is installed, so nothing
# has to be stopped or masked: glusterfs-server's glusterd.service is neither
# enabled nor started (its postinst restarts one that runs, at an upgrade). It has
# to stay so: a glusterd of the system that listens on all addresses is in the way
# of those that tests start for themselves (tests/lab says so if it meets one).
wanted="
gcc:gcc
fio:fio
bindfs:bindfs
git:git
sqlite3:sqlite3
tar:tar
rsync:rsync
setfattr:attr
setfacl:acl
mkfs.ext4:e2fsprogs
mount:mount
python3:python3
strace:strace
stress-ng:stress-ng
openssl:openssl
nft:nftables
ip:iproute2
unshare:util-linux
glusterd:glusterfs-server
glusterfs:glusterfs-client
"

# The kernel's switches for FUSE connections, which tests use against hangs:
# where an init system runs they are there already.
ctl=/sys/fs/fuse/connections
if [ "$(id -u)" -eq 0 ] && [ -d "$ctl" ] && ! grep -q " $ctl " /proc/self/mounts; then
	mount -t fusectl fusectl "$ctl"
fi

missing=""
for pair in $wanted; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "please install these Debian packages (or what provides the same):$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing </dev/null
