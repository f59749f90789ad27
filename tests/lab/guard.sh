# Cleans up for a test process that has died: clients, their mounts, the folder $1.
# Standard input: "client PID START" for each client (START as in /proc/PID/stat,
# against numbers used again), then "done". An end without that is the death.
clients=
while read -r what pid start; do
	[ "$what" != done ] || exit 0
	clients="$clients $pid:$start"
done
for c in $clients; do
	now=$(sed 's/.*) //' "/proc/${c%:*}/stat" 2>/dev/null | cut -d' ' -f20)
	[ "$now" != "${c#*:}" ] || kill -9 "${c%:*}"
done
awk -v base="$1/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | while read -r dir; do
	umount -l "$dir"
done
rm -rf --one-file-system "$1"
