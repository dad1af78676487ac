# shellcheck shell=bash
# What the scenarios share. They run in the container, as the remote user; no host mounts anything here, so they make
# /etc/lace-ssh themselves.
set -e
# shellcheck disable=SC1091 # the CLI puts it here
source dev-container-features-test-lib

keys=$(mktemp -d)

start() { /usr/local/share/lace-ssh/start; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

make_keys() {
    ssh-keygen -q -t ed25519 -N '' -f "$keys/host"
    ssh-keygen -q -t ed25519 -N '' -f "$keys/id"
    as_root mkdir -p -m 0700 /etc/lace-ssh
    as_root install -m 0600 "$keys/host" /etc/lace-ssh/ssh_host_ed25519_key
    as_root install -m 0600 "$keys/id.pub" /etc/lace-ssh/authorized_keys
    as_root install -m 0600 /dev/null /etc/lace-ssh/revoked_keys
}

# login PORT ACCOUNT COMMAND…
login() {
    echo "lace $(cat "$keys/host.pub")" >"$keys/known_hosts"
    local port=$1 user=$2
    shift 2
    ssh -F none -i "$keys/id" -p "$port" -o HostKeyAlias=lace -o UserKnownHostsFile="$keys/known_hosts" \
        -o StrictHostKeyChecking=yes -o BatchMode=yes -o LogLevel=ERROR "$user@127.0.0.1" "$@" </dev/null
}

# prints EXPECTED COMMAND…
prints() {
    local expected=$1 got
    shift
    got=$("$@") || return 1
    [ "$got" = "$expected" ] || { echo "expected '$expected', got '$got'" && return 1; }
}

exits() {
    local expected=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" = "$expected" ] || { echo "expected exit code $expected, got $code" && return 1; }
}
