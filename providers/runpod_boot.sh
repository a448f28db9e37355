# What a pod's main process is: dead-man first, then the keys, then sshd; it never exits (a container that exits is
# started again, and billed on). Everything comes by its environment. `born` is when the create call was made, by
# Runpod's clock: a container that starts late, or again on a fresh disk, has that much less of its lease.
guard=/var/lib/launch
mkdir -p "$guard" /etc/ssh /root/.ssh /run/sshd
printf %s "$LAUNCH_DEADMAN" >"$guard/deadman.sh"
printf %s "$LAUNCH_END" >"$guard/end.sh"
umask 077
for name in RUNPOD_POD_ID RUNPOD_API_KEY LAUNCH_API; do
    eval "printf \"%s='%s'\n\" $name \"\$$name\""
done >"$guard/pod.env"
lived=$(($(date +%s) - LAUNCH_BORN))
[ "$lived" -ge 0 ] 2>/dev/null || lived=0
left=$((LAUNCH_LEASE - lived))
[ "$left" -ge 1 ] || left=1
setsid nohup sh "$guard/deadman.sh" "$guard" "$left" sh "$guard/end.sh" </dev/null >/dev/null 2>&1 &
printf '%s\n' "$LAUNCH_HOST_KEY" >/etc/ssh/ssh_host_ed25519_key
printf '%s\n' "$PUBLIC_KEY" >/root/.ssh/authorized_keys
echo "launch: $left s of the lease are left, the dead-man is started"
ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key
set_env="PATH=$PATH"
[ -z "$LD_LIBRARY_PATH" ] || set_env="$set_env LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
unset LAUNCH_HOST_KEY LAUNCH_BOOT LAUNCH_DEADMAN LAUNCH_END
while :; do
    /usr/sbin/sshd -D -e -h /etc/ssh/ssh_host_ed25519_key -o PasswordAuthentication=no -o "SetEnv=$set_env"
    sleep 2
done
