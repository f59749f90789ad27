# Process 1 of a lab's PID and mount namespace: makes a root of its own, says
# "ready", and ends, everything with it, when its standard input does.
#   $1 empty folder for the root    $2 size of the disk    $3 name of its file
set -eu
root=$1 size=$2 disk=$3
ulimit -c 0 2>/dev/null || true

mount --make-rprivate /
mount -t tmpfs -o mode=755 lab "$root"
for d in usr bin sbin lib lib32 lib64 libx32 etc; do
	if [ -L "/$d" ]; then
		cp -P "/$d" "$root/$d"
	elif [ -d "/$d" ]; then
		mkdir "$root/$d"
		mount --bind "/$d" "$root/$d"
		mount -o remount,bind,ro "$root/$d"
	fi
done
cd "$root"
mkdir -p dev sys proc run/gluster tmp var/lib/glusterd var/log/glusterfs bricks old
ln -s ../run var/run
chmod 1777 tmp
mount --rbind /dev dev
mount --bind /sys sys
mount -t proc proc proc
# Other tests' mounts were copied into this namespace too. They must not live on
# in here: a client ends when the last copy of its mount does.
pivot_root . old
umount -l /old
rmdir /old

# No name service: answers would depend on the machine, and so would the time
# that they take.
echo "hosts: files" >/run/nsswitch.conf
echo "127.0.0.1 localhost $(uname -n)" >/run/hosts
mount --bind /run/nsswitch.conf /etc/nsswitch.conf
mount --bind /run/hosts /etc/hosts

# glusterd wants this answer many times, from a large Python program.
printf '#!/bin/sh\necho gsyncd 0\n' >/run/gsyncd
chmod 755 /run/gsyncd
for f in /usr/lib/*/glusterfs/gsyncd /usr/libexec/glusterfs/gsyncd; do
	[ ! -f "$f" ] || mount --bind /run/gsyncd "$f"
done

truncate -s "$size" "/$disk"
mkfs.ext4 -q -F "/$disk"
mount -o loop,discard,noinit_itable "/$disk" /bricks

echo ready
read -r _ || true
