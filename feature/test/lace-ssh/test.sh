#!/bin/bash
# No mount: the container is there, and nothing listens. Then the keys come, and the same container can be logged in to.
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

check "the log says that the mount is missing" grep -q 'install lace-ssh on the host' /var/lib/lace-ssh/sshd.log
check "start says so, too" exits 1 start
check "no host key in the image" exits 2 ls /etc/ssh/ssh_host_ed25519_key
make_keys
check "start works now" start
check "start works again" start
check "login" prints "$(id -un)" login 2222 "$(id -un)" id -un
for option in PerSourcePenalties WarnWeakCrypto; do
    check "$option is set where sshd knows it, and only there" prints \
        "$(as_root /usr/sbin/sshd -T -f /dev/null -h "${keys:?}/host" -o "$option=no" >/dev/null 2>&1 && echo "$option no")" \
        sed -n "s/^$option/&/p" /usr/local/share/lace-ssh/sshd_config
done
check "no password is asked for" prints publickey bash -c \
    "ssh -F none -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no \
    -o BatchMode=yes 127.0.0.1 true 2>&1 | tr -d '\r' | sed -n 's/.*Permission denied (\(.*\))\./\1/p'"

reportResults
