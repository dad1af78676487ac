#!/usr/bin/env bash
# The Feature with the mount that it is made for: containers made by `devcontainer up`, keys on the host under several
# owners, logins over the published port, restarts. As many cases at a time as there are cores.
#
# usage: mounted.sh DEVCONTAINER [CASE…]      needs all images of tests/engine.sh
#
# LACE_SSH_TEST_BINARY    a static lace-ssh, for the cases of `lace-ssh post-start`
# shellcheck disable=SC2016 # many commands here are for the far shell
set -euo pipefail

devcontainer=$(realpath "$1")
shift
test=$(cd "$(dirname "$0")" && pwd)
feature=$(dirname "$test")/src/lace-ssh
all=$(mktemp -d)

cleanup() {
    local folder
    for folder in "$all"/*/lace-ssh-mounted-*; do
        docker ps -aq --filter "label=devcontainer.local_folder=$folder" | xargs -r docker rm -f >/dev/null 2>&1 || true
    done
    # Not what it is built upon: another test may be building upon the same.
    docker image ls --format '{{ .Repository }}' "vsc-lace-ssh-mounted-*" | xargs -r docker image rm --no-prune >/dev/null 2>&1 || true
    as_root rm -rf "$all"
}
trap cleanup EXIT

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# run CASE: in the background, in a folder of its own with keys of its own. Fails if one of its checks does.
run() {
    failures=0 SECONDS=0
    work=$all/$1
    mkdir "$work"
    ssh-keygen -q -t ed25519 -N '' -C alice -f "$work/id"
    ssh-keygen -q -t ed25519 -N '' -C mallory -f "$work/other"
    ssh-keygen -q -t ed25519 -N '' -C 'our CA' -f "$work/ca"
    ssh-keygen -q -t ed25519 -N '' -C 'another CA' -f "$work/ca2"
    "case_$1"
    echo "  $SECONDS s"
    [ "$failures" = 0 ]
}

# make_trust OWNER: the folder that the host mounts. Works on what `trust` names from then on.
make_trust() {
    trust=$project/trust
    mkdir -m 0700 "$trust"
    ssh-keygen -q -t ed25519 -N '' -C host -f "$trust/ssh_host_ed25519_key"
    cp "$work/id.pub" "$trust/authorized_keys"
    : >"$trust/revoked_keys"
    chmod 0600 "$trust"/*
    as_root chown -R "$1:$1" "$trust"
}

# make_project NAME IMAGE MEMBERS: a project whose devcontainer.json has these members too.
make_project() {
    project=$work/lace-ssh-mounted-$1
    mkdir -p "$project/.devcontainer/lace-ssh"
    cp "$feature"/* "$feature/.gitignore" "$project/.devcontainer/lace-ssh/"
    rm -f "$project/.devcontainer/lace-ssh/lace-ssh"
    chmod 0644 "$project/.devcontainer/lace-ssh"/*
    cat >"$project/.devcontainer/devcontainer.json" <<EOF
{
    "image": "lace-ssh-test:$2",
    "features": { "./lace-ssh": {} },
    "mounts": ["type=bind,source=$project/trust,target=/etc/lace-ssh,readonly"],
    "containerEnv": { "GREETING": "it's \"quoted\" \$HOME", "PATH": "/opt/tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    "runArgs": ["--publish=127.0.0.1::2222"],
    $3
}
EOF
}

# As `initialize` on the host does it, with the command that `setup` writes.
with_binary() {
    cp "${LACE_SSH_TEST_BINARY:?names the static lace-ssh that these cases need}" "$project/.devcontainer/lace-ssh/lace-ssh"
    sed -i '$i , "postStartCommand": "lace-ssh post-start"' "$project/.devcontainer/devcontainer.json"
}

up() {
    local out
    out=$("$devcontainer" up --no-lockfile --workspace-folder "$project" 2>"$project/up.log") || {
        cat "$project/up.log" >&2
        return 1
    }
    id=$(sed -n 's/.*"containerId":"\([^"]*\)".*/\1/p' <<<"$out")
}

ssh_options() {
    local port
    port=$(docker port "$id" 2222 | head -n 1)
    echo "lace $(as_root cat "$trust/ssh_host_ed25519_key.pub")" >"$project/known_hosts.$BASHPID"
    mv "$project/known_hosts.$BASHPID" "$project/known_hosts"
    options=(-F none -o IdentitiesOnly=yes -o HostKeyAlias=lace -o UserKnownHostsFile="$project/known_hosts"
        -o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=5 -o LogLevel=ERROR -o "Port=${port##*:}")
}
ssh_as() {
    local user=$1
    shift
    ssh_options
    ssh "${options[@]}" -i "${key:-$work/id}" "$user@127.0.0.1" "$@"
}
# sftp_as ACCOUNT COMMAND
sftp_as() {
    ssh_options
    sftp -q "${options[@]}" -i "${key:-$work/id}" -b - "$1@127.0.0.1" <<<"$2" >/dev/null
}

check() {
    local what=$1
    shift
    if "$@"; then
        echo "  ok: $what"
    else
        echo "  FAILED: $what"
        failures=$((failures + 1))
    fi
}
equals() { [ "$1" = "$2" ] || { printf '    expected: %s\n    got:      %s\n' "$2" "$1" && false; }; }
refused() { ! "$@" </dev/null >/dev/null 2>&1; }
until_login() {
    for _ in $(seq 50); do
        if ssh_as "$1" true 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    ssh_as "$1" true
}
log=/var/lib/lace-ssh/sshd.log
in_container() { docker exec -i -u root "$id" "$@"; }
log() { docker exec -u root "$id" cat "${1:-$log}"; }
start() { docker exec -u "$1" "$id" /usr/local/share/lace-ssh/start 2>&1; }
sshds() { docker exec -u root "$id" sh -c 'ps -eo args | grep -c "[s]shd: .*listener"'; }

# The account $1 gets in, with the environment: for where only the way in is another.
check_login() {
    check "login as $1" until_login "$1"
    check "account" equals "$(ssh_as "$1" id -un)" "$1"
    check "containerEnv" equals "$(ssh_as "$1" 'printf %s "$GREETING"')" "it's \"quoted\" \$HOME"
    check "one sshd" equals "$(sshds)" 1
}

# The whole life of sessions, for the account $1.
check_sessions() {
    local user=$1 bytes="$work/bytes" home shell
    shell=$(docker exec "$id" getent passwd "$user" | cut -d: -f7)
    check "login as $user" until_login "$user"
    check "account" equals "$(ssh_as "$user" id -un)" "$user"
    check "exit code" equals "$(ssh_as "$user" 'exit 42' || echo $?)" 42
    check "containerEnv" equals "$(ssh_as "$user" 'printf %s "$GREETING"')" "it's \"quoted\" \$HOME"
    check "PATH" equals "$(ssh_as "$user" 'echo "${PATH%%:*}"')" /opt/tools/bin
    check "PATH of a login shell" equals "$(echo 'echo "${PATH%%:*}"' | ssh_as "$user")" /opt/tools/bin
    check "what sshd sets stays" equals \
        "$(ssh_as "$user" 'echo "$USER $LOGNAME $SHELL ${SSH_CONNECTION:+set} ${SSH_ORIGINAL_COMMAND-none}"')" \
        "$user $user $shell set none"
    check "quotes and newlines" equals "$(ssh_as "$user" $'x=\'a "b"\'\nprintf "%s\\n" "$x" \\\n "$(echo "c  d")"')" \
        $'a "b"\nc  d'
    check "a terminal" equals "$(TERM=xterm-256color ssh_as "$user" -tt 'test -t 0 && echo "$TERM"' | tr -d '\r')" \
        xterm-256color
    home=$(ssh_as "$user" 'echo "$HOME"')
    check "home" equals "$home" "$(docker exec "$id" getent passwd "$user" | cut -d: -f6)"
    check "a long script on stdin" equals \
        "$( (echo 'echo begin' && seq -f ': %.0f' 100000 && echo 'exit 3') | ssh_as "$user" sh || echo $?)" $'begin\n3'
    head -c 10000000 /dev/urandom >"$bytes"
    check "10 MB each way" equals "$(ssh_as "$user" cat <"$bytes" | sha256sum)" "$(sha256sum <"$bytes")"
    ssh_options
    check "scp" scp -q "${options[@]}" -i "$work/id" "$bytes" "$user@127.0.0.1:bytes"
    check "scp, old protocol" scp -q -O "${options[@]}" -i "$work/id" "$user@127.0.0.1:bytes" "$bytes.2"
    check "scp kept every byte" cmp "$bytes" "$bytes.2"
    check "sftp" sftp_as "$user" "rename bytes bytes2"
    ssh_as "$user" rm bytes2
    check "a forwarded port" equals "$(ssh_as "$user" -W 127.0.0.1:2222 </dev/null 2>/dev/null | head -c 7)" SSH-2.0
    check "a forwarded agent" equals \
        "$(ssh-agent sh -c 'ssh-add -q "$1" && shift && "$@"' sh "$work/id" \
            ssh -A "${options[@]}" -i "$work/id" "$user@127.0.0.1" ssh-add -L)" "$(cat "$work/id.pub")"
    check "ten logins at once" many "$user"
    check "no zombies" equals "$(docker exec -u root "$id" sh -c 'sleep 1.5; ps -eo stat | grep -c Z' || true)" 0
    check "one sshd" equals "$(sshds)" 1
}
many() {
    local pids=() pid
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        ssh_as "$1" true &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || return 1; done
}

check_refusals() {
    local user=$1
    key=$work/other check "a stranger's key is refused" refused ssh_as "$user" true
    write_trust authorized_keys "$work/other.pub"
    check "a key taken away is refused at once" refused ssh_as "$user" true
    key=$work/other check "a key given is good at once" ssh_as "$user" true
    write_trust revoked_keys "$work/other.pub"
    key=$work/other check "a revoked key is refused at once" refused ssh_as "$user" true
    write_trust revoked_keys /dev/null
    write_trust authorized_keys "$work/id.pub"
}

# certificate NAME OPTION…: a key $work/NAME with a certificate of our CA that has these options of ssh-keygen.
certificate() {
    local name=$1
    shift
    rm -f "$work/$name"*
    ssh-keygen -q -t ed25519 -N '' -f "$work/$name"
    ssh-keygen -q -s "${ca:-$work/ca}" -I "the key of $name" "$@" "$work/$name.pub"
}
opens() { key=$work/$2 ssh_as "$1" true; }

# The account $1, by certificates: with the files of the contract absent, empty and there.
check_certificates() {
    local user=$1 name
    certificate good -n lace-shop-1 -z 7 -V -1m:+5m
    : >"$project/empty"
    docker exec -u root "$id" sh -c ': >"$1"' sh "$log"
    check "without a CA no certificate is good" refused opens "$user" good
    check "and a key is" opens "$user" id
    write_trust user_ca.pub "$project/empty"
    write_trust principals "$project/empty"
    check "with empty files no certificate is good" refused opens "$user" good
    check "and a key is" opens "$user" id
    check "nothing of that is an error for sshd" refused grep -aE 'error|user_ca|principals' <(log)

    write_trust user_ca.pub "$work/ca.pub"
    check "a CA alone lets nobody in" refused opens "$user" good
    as_root rm "$trust/principals"
    check "nor without the file" refused opens "$user" good
    printf '# who\nlace-shop-0\n\nlace-shop-1\n' >"$project/principals"
    write_trust principals "$project/principals"
    check "a certificate is good at once" opens "$user" good
    check "its sessions have the environment" equals "$(key=$work/good ssh_as "$user" 'printf %s "$GREETING"')" \
        "it's \"quoted\" \$HOME"
    key=$work/good check "sftp" sftp_as "$user" pwd
    check "a key still is" opens "$user" id

    certificate wrong -n lace-shop-2,lace-shop,lace-shop-1x
    certificate login-name -n "$user"
    certificate none
    certificate expired -n lace-shop-1 -V -2h:-1h
    certificate early -n lace-shop-1 -V +1h:+2h
    ca=$work/ca2 certificate foreign -n lace-shop-1
    certificate host -h -n lace-shop-1
    certificate forced -n lace-shop-1 -O force-command='echo forced'
    certificate elsewhere -n lace-shop-1 -O source-address=192.0.2.0/24
    for name in wrong login-name none expired early foreign host forced elsewhere; do
        check "a certificate that is '$name' is refused" refused opens "$user" "$name"
    done
    certificate two -n lace-shop-1,other
    check "one of its principals is enough" opens "$user" two
    cp "$work/good-cert.pub" "$work/other-cert.pub"
    check "a certificate without its key is refused" refused opens "$user" other
    rm "$work/other-cert.pub"
    certificate wrapped -n lace-shop-1 -O force-command=/usr/local/share/lace-ssh/session
    check "our own command in it is none" equals "$(key=$work/wrapped ssh_as "$user" 'echo any')" any
    certificate bare -n lace-shop-1 -O clear
    check "what a certificate does not give, sshd does not" refused opens_terminal "$user" bare
    check "but a command" opens "$user" bare

    printf 'restrict lace-shop-1\n' >"$project/principals"
    write_trust principals "$project/principals"
    check "a principal's restrictions count" refused opens_terminal "$user" good
    check "beside its certificate" opens "$user" good
    printf 'command="echo \\"only $SSH_ORIGINAL_COMMAND\\"" lace-shop-1\n' >"$project/principals"
    write_trust principals "$project/principals"
    check "so does its command" equals "$(key=$work/good ssh_as "$user" 'date')" "only date"
    echo lace-shop-1 >"$project/principals"
    write_trust principals "$project/principals"

    certificate second -n lace-shop-1 -z 8
    echo 'serial: 7' >"$project/revoked"
    revoke
    check "a revoked serial is refused at once" refused opens "$user" good
    check "another is good" opens "$user" second
    echo 'id: the key of second' >"$project/revoked"
    revoke
    check "a revoked key ID is refused" refused opens "$user" second
    cp "$work/id.pub" "$project/revoked"
    revoke
    check "a key in the KRL is refused" refused opens "$user" id
    check "a certificate is not" opens "$user" good
    write_trust revoked_keys /dev/null

    cat "$work/ca2.pub" >>"$project/cas" && cat "$work/ca.pub" >>"$project/cas"
    write_trust user_ca.pub "$project/cas"
    check "two CAs at a time" opens "$user" foreign
    check "the other one, too" opens "$user" good
    as_root rm "$trust/user_ca.pub" "$trust/principals"
    check "when the CA goes, so does the certificate" refused opens "$user" good
    check "the key stays" opens "$user" id
    as_root mv "$trust/revoked_keys" "$trust/not_revoked"
    check "without the file of what is revoked nobody gets in" refused opens "$user" id
    as_root mv "$trust/not_revoked" "$trust/revoked_keys"
    check "with it again" opens "$user" id
}
opens_terminal() { [ "$(TERM=xterm key=$work/$2 ssh_as "$1" -tt 'test -t 0 && echo yes' </dev/null | tr -d '\r')" = yes ]; }
revoke() {
    ssh-keygen -q -k -f "$project/krl" -s "$work/ca.pub" "$project/revoked"
    write_trust revoked_keys "$project/krl"
}

# line OPTIONS: authorized_keys with these options for the key `other`, and `id` without any.
line() {
    { cat "$work/id.pub" && echo "$1 $(cat "$work/other.pub")"; } >"$project/keys"
    write_trust authorized_keys "$project/keys"
}

# What a line of authorized_keys restricts is sshd's to enforce, for the account $1.
check_restrictions() {
    local user=$1
    with_other() { key=$work/other ssh_as "$user" "$@" 2>/dev/null; }
    line 'command="printf \"%s|\" \"$GREETING\" '"'own'"' \"$SSH_ORIGINAL_COMMAND\""'
    check "a key's own command, in the environment" equals "$(with_other 'rm -rf x')" "it's \"quoted\" \$HOME|own|rm -rf x|"
    check "whatever is asked for" equals "$(with_other </dev/null)" "it's \"quoted\" \$HOME|own||"
    key=$work/other check "no sftp then" refused sftp_as "$user" pwd
    check "another key is as free as before" equals "$(ssh_as "$user" 'echo free')" free
    line 'restrict'
    check "a restricted key: a command" equals "$(with_other 'echo "$GREETING"')" "it's \"quoted\" \$HOME"
    check "no terminal" refused opens_terminal "$user" other
    check "no forwarded port" refused with_other -W 127.0.0.1:2222
    check "no port of the container's" refused with_other -o ExitOnForwardFailure=yes -R 0:127.0.0.1:1 true
    line 'restrict,command="internal-sftp"'
    key=$work/other check "sftp alone" sftp_as "$user" pwd
    check "and no command" refused with_other true
    line 'expiry-time="20200101000000Z"'
    check "a key that has expired is refused" refused with_other true
    line 'from="192.0.2.1"'
    check "a key from elsewhere is refused" refused with_other true
    line 'nonsense'
    check "options that sshd does not know let nobody in" refused with_other true
    check "but the others" ssh_as "$user" true
    write_trust authorized_keys "$work/id.pub"
}

# The keys that are in the home folder of the account $1.
check_own_keys() {
    local user=$1 home
    home=$(in_container sh -c "getent passwd '$user' || grep '^$user:' /etc/passwd" | cut -d : -f 6)
    own() { key=$work/other ssh_as "$user" "$@" 2>/dev/null; }
    in_container sh -c "umask 077; mkdir -p '$home/.ssh'; cat >'$home/.ssh/authorized_keys'; chown -R '$user' '$home/.ssh'" \
        <"$work/other.pub"
    check "the account's own keys do not count" refused own true
    write_trust own_keys /dev/null
    check "where the host says so, they do" equals "$(own 'echo "$GREETING"')" "it's \"quoted\" \$HOME"
    check "beside the others" ssh_as "$user" true
    in_container chmod 666 "$home/.ssh/authorized_keys"
    check "not where everybody can write them" refused own true
    in_container chmod 600 "$home/.ssh/authorized_keys"
    check "but else" own true
    in_container sh -c "mv '$home/.ssh/authorized_keys' '$home/keys'; ln -s '$home/keys' '$home/.ssh/authorized_keys'"
    check "not by a link" refused own true
    in_container sh -c "rm '$home/.ssh/authorized_keys'; mkfifo '$home/.ssh/authorized_keys'"
    check "a pipe holds nobody up" ssh_as "$user" true
    in_container rm -r "$home/.ssh" "$home/keys"
    as_root rm "$trust/own_keys"
}

# What a key has opened ends with its line, where that says so, for the account $1.
check_leases() {
    local user=$1 lease pids stays what
    lease="lease=\"$(ssh-keygen -lf "$work/other.pub" | cut -d ' ' -f 2)\""
    # shellcheck disable=SC2317 # `check` calls it
    # opened OPTIONS: a session, and forwarding without one; `other` has both in $pids.
    opened() {
        rm -f "$project/opened" "$project/socket"
        line "$1"
        ssh_options
        ssh "${options[@]}" -i "$work/other" "$user@127.0.0.1" 'echo opened; sleep 60' >"$project/opened" 2>/dev/null &
        pids=("$!")
        ssh "${options[@]}" -i "$work/other" -N -L "$project/socket:127.0.0.1:2222" "$user@127.0.0.1" 2>/dev/null &
        pids+=("$!")
        until_true test -s "$project/opened" -a -S "$project/socket"
    }
    # shellcheck disable=SC2317
    gone() { ! kill -0 "${pids[0]}" && ! kill -0 "${pids[1]}"; }
    ssh_options
    ssh "${options[@]}" -i "$work/id" "$user@127.0.0.1" 'sleep 100' &
    stays=$!
    for what in "$lease" "expiry-time=\"20990101000000Z\",$lease,no-pty"; do
        check "a lease is good" opened "$what"
        sleep 2.5
        check "as long as its line is there" kill -0 "${pids[@]}"
        write_trust authorized_keys "$work/id.pub"
        check "then all ends that it has opened" until_true gone
    done
    check "a lease for a while is good" opened "expiry-time=\"$(date -u -d '+6 seconds' +%Y%m%d%H%M%SZ)\",$lease"
    check "all ends with it" until_true gone
    check "another lease is none of this key's" opened 'lease="SHA256:another"'
    write_trust authorized_keys "$work/id.pub"
    sleep 3
    check "what it has opened stays" kill -0 "${pids[@]}"
    kill "${pids[@]}"
    check "so does what others have opened" kill -0 "$stays"
    kill "$stays"
    check "nobody watches any more" until_true test "$(docker exec "$id" sh -c 'ps -eo args | grep -c "[a]uthorized keys"')" = 0
}

# One path for the agents of all connections, for the account $1.
check_agent() {
    local user=$1 path first second own
    (umask 077 && cp "$work/id" "$project/id" && cp "$work/other" "$project/other")
    # connection KEY: one with an agent that has this key, until the pipe that is left in fd $held is closed.
    connection() {
        mkfifo "$project/pipe.$1"
        ssh-agent sh -c 'ssh-add -q "$1" && shift && "$@"' sh "$project/$1" ssh -A "${options[@]}" -i "$work/id" \
            "$user@127.0.0.1" 'echo "$SSH_AUTH_SOCK"; cat' <"$project/pipe.$1" >"$project/path.$1" &
        exec {held}>"$project/pipe.$1"
        rm "$project/pipe.$1"
        until_true test -s "$project/path.$1"
    }
    # shellcheck disable=SC2317 # until_true calls it, too
    has() { [ "$(docker exec -u "$user" -e SSH_AUTH_SOCK="$path" "$id" ssh-add -L)" = "$(cat "$work/$1.pub")" ]; }
    ssh_options
    check "no agent, no path" equals "$(ssh_as "$user" 'echo "${SSH_AUTH_SOCK-none}"')" none
    connection id && first=$held
    path=$(cat "$project/path.id")
    check "one connection's agent" has id
    connection other && second=$held
    check "the next has the same path" equals "$(cat "$project/path.other")" "$path"
    check "to its own agent" has other
    own=${path%/*}
    check "one watcher for each connection" equals "$(docker exec "$id" ls "$own/agents" | wc -l)" 2
    check "closed to other accounts" refused docker exec -u nobody -e SSH_AUTH_SOCK="$path" "$id" ssh-add -L
    check "in a folder that is the account's alone" equals "$(docker exec -u root "$id" stat -c '%U %a' "$own")" "$user 700"
    check "a connection without an agent leaves it" ssh_as "$user" true
    check "to the last" has other
    exec {second}>&-
    check "when that goes, the agent of the one that is left" until_true has id
    exec {first}>&-
    check "when all are gone, nothing is left" until_true docker exec -u root "$id" \
        sh -c 'test ! -e "$1/agent" && test ! -L "$1/agent" && [ -z "$(ls "$1/agents")" ]' sh "$own"
}
until_true() {
    for _ in $(seq 80); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    "$@"
}

# A host key that the host exchanges while the container runs, for the account $1.
check_host_key() {
    local user=$1 pins="$trust/ssh_host_ed25519_key.pub"
    rm -f "$work/host"*
    ssh-keygen -q -t ed25519 -N '' -C host -f "$work/host"
    { as_root cat "$pins" && echo "lace $(cat "$work/host.pub")"; } >"$project/both"
    write_trust ssh_host_ed25519_key "$work/host"
    write_trust ssh_host_ed25519_key.pub "$project/both"
    check "a new host key, while both are pinned" ssh_as "$user" true
    write_trust ssh_host_ed25519_key.pub "$work/host.pub"
    check "is in use at the next connection" ssh_as "$user" true
    check "sshd is not started again without need" equals "$(ssh_as "$user" true; ssh_as "$user" true; sshd_starts)" "$(sshd_starts)"
    echo damaged >"$project/damaged"
    write_trust ssh_host_ed25519_key "$project/damaged"
    ssh_as "$user" true 2>/dev/null || true
    check "a damaged one does not end sshd" equals "$(sshds)" 1
    write_trust ssh_host_ed25519_key "$work/host"
    check "and one that is mended is good" ssh_as "$user" true
    check "one sshd" equals "$(sshds)" 1
}
sshd_starts() { log | grep -ac 'Server listening'; }

# As the host does it: a new file of the owner's takes the name.
write_trust() {
    as_root cp "$2" "$trust/new"
    as_root chmod 0600 "$trust/new"
    as_root chown --reference="$trust" "$trust/new"
    as_root mv "$trust/new" "$trust/$1"
}

check_restart() {
    docker restart -t 1 "$id" >/dev/null
    check "login after a restart" until_login "$1"
    check "one sshd after a restart" equals "$(sshds)" 1
}

# race RUNS HAD ACCOUNT…: each account runs `session` so often while another account puts its own files in the way. In the
# end nothing of them must have run, and every session must have `had` the container's environment, or `lacked` it.
race() {
    local runs=$1 had=$2 account pids=()
    shift 2
    docker exec -u root "$id" sh -c 'rm -f /tmp/race-is-over && : >/tmp/caught && chmod 0666 /tmp/caught'
    docker exec -i -u nobody "$id" perl - <"$test/intruder.pl" >"$project/intruder.log" 2>&1 &
    intruder=$!
    for account in "$@"; do
        docker exec -u "$account" -e SHELL=/bin/sh -e SSH_ORIGINAL_COMMAND='[ "$GREETING" ] && echo had || echo lacked' "$id" sh -c '
            unset GREETING
            for _ in $(seq "$1"); do /usr/local/share/lace-ssh/session 2>/dev/null; done' sh "$runs" \
            >"$project/raced.$account" &
        pids+=($!)
    done
    wait "${pids[@]}"
    check "the other account tried all that time" kill -0 "$intruder"
    docker exec -u root "$id" touch /tmp/race-is-over
    wait "$intruder"
    check "nothing of its own was run" equals "$(docker exec "$id" sort /tmp/caught | uniq -c)" ""
    for account in "$@"; do
        check "$runs sessions of $account $had the environment" \
            equals "$(uniq -c "$project/raced.$account" | tr -s ' ')" " $runs $had"
    done
}

# Cases: the container's user, the remote user, the owner of the keys.

case_root() {
    make_project root base '"remoteUser": "root"' && make_trust 0 && up
    check_sessions root
    check_refusals root
    check_restart root
    check "another account is refused" refused ssh_as vscode true
    check "start, again" equals "$(start root; echo $?)" 0
}

case_vscode() {
    make_project vscode base '"remoteUser": "vscode"' && make_trust 4242 && up
    check_sessions vscode
    check_refusals vscode
    check_certificates vscode
    check_restrictions vscode
    check_restart vscode
    check "root is refused" refused ssh_as root true
    check "start as vscode, again" equals "$(start vscode; echo $?)" 0
    docker exec -u root "$id" sh -c 'kill $(cat /run/lace-ssh/sshd.pid)'
    sleep 0.3
    check "start as vscode, through sudo" equals "$(start vscode; echo $?)" $'lace-ssh: sshd runs: port 2222, account vscode\n0'
    check "login after that" ssh_as vscode true
}

check_all_else() {
    check_certificates "$1"
    check_restrictions "$1"
    check_own_keys "$1"
    check_leases "$1"
    check_agent "$1"
    check_host_key "$1"
}

# Other versions of OpenSSH, with the real post-start.
case_bullseye() {
    on_debian bullseye 'OpenSSH_8\.4'
    check_certificates vscode
    check_restrictions vscode
    check_restart vscode
}
case_trixie() {
    on_debian trixie 'OpenSSH_10\.0'
    check_all_else vscode
    check_restart vscode
}
on_debian() {
    make_project "$1" "$1" '"remoteUser": "vscode"' && make_trust 4242 && with_binary && up
    check "this is $2" grep -q "$2" <(docker exec "$id" ssh -V 2>&1)
    check_quiet_start
    check_sessions vscode
    check_refusals vscode
}

# Nothing that post-start does looks in the log like somebody who was refused.
check_quiet_start() {
    until_login vscode
    check "the log says who has looked" grep -aq ':11: lace-ssh post-start: sshd answers \[preauth\]' <(log)
    check "nothing in it looks like a refusal" refused grep -aiE 'error|reset|closed by|invalid|fail|kex_' <(log)
}

case_environment() {
    make_project environment base '"remoteUser": "vscode"' && make_trust 1000 && up
    until_login vscode
    docker exec -i -u vscode "$id" sh -c 'cat >/var/lib/lace-ssh/1000/environment' <<'EOF'
export HOME='/nowhere'
export USER='nobody'
export PATH='/opt/probed/bin:/usr/bin:/bin'
export REMOTE='it'\''s
two lines'
EOF
    check "the account's own file is read" equals \
        "$(ssh_as vscode 'printf "%s|" "${PATH%%:*}" "$HOME" "$USER" "$REMOTE"')" \
        $'/opt/probed/bin|/home/vscode|vscode|it\'s\ntwo lines|'
    docker exec -u vscode "$id" sh -c 'echo "export BROKEN='"'"'" >/var/lib/lace-ssh/1000/environment'
    check "a damaged file locks nobody out" equals "$(ssh_as vscode 'echo "${PATH%%:*}"')" /opt/tools/bin
    docker exec -u vscode "$id" sh -c 'rm /var/lib/lace-ssh/1000/environment && mkdir -m 700 /home/vscode/private'
    for place in "" 0/ 1000/ own/0/ own/1000/; do
        docker exec -u nobody "$id" sh -c 'mkdir -p "${1%/*}" && echo "export PLANTED=1" >"$1"' \
            sh "/var/lib/lace-ssh/${place}environment" 2>/dev/null || true
    done
    check "another account's file is not read" equals "$(ssh_as vscode 'echo "${PLANTED-no}"')" no
    docker exec -u root "$id" sh -c 'rm -rf /var/lib/lace-ssh/own/*'
    race 600 had vscode root
}

# What root's sessions source, nobody else may ever have written.
case_user_and_back() {
    make_project user-and-back base '"remoteUser": "vscode"' && make_trust 1000 && up
    until_login vscode
    docker exec -u vscode "$id" sh -c '
        for file in $(find / -xdev -name "environment*" -user vscode 2>/dev/null); do
            chmod u+w "$file"; echo "export PLANTED=1" >>"$file"
        done
        echo "export PLANTED=1" >/var/lib/lace-ssh/1000/environment'
    check "the account's files are its own" equals "$(ssh_as vscode 'echo "${PLANTED-no}"')" 1
    echo root | as_root tee "$trust/user" >/dev/null
    start root >/dev/null
    check "login as root" until_login root
    check "root reads none of them" equals "$(ssh_as root 'echo "${PLANTED-no} $GREETING"')" "no it's \"quoted\" \$HOME"
    check "nor can others read root's" refused docker exec -u vscode "$id" cat /var/lib/lace-ssh/environment.0
    docker restart -t 1 "$id" >/dev/null
    check "nor after a restart" equals "$(until_login root; ssh_as root 'echo "${PLANTED-no}"')" no
    as_root rm "$trust/user"
    start root >/dev/null
    check "login as the remote user again" until_login vscode
    check "with the environment" equals "$(ssh_as vscode 'echo "$GREETING"')" "it's \"quoted\" \$HOME"
    check "closed to others" equals "$(docker exec -u root "$id" sh -c \
        'cd /var/lib/lace-ssh && stat -c "%U %a %n" . environment.0 environment.1000 0 1000')" \
        $'root 755 .\nroot 600 environment.0\nvscode 600 environment.1000\nroot 700 0\nvscode 700 1000'
}

case_user() {
    make_project user base '"remoteUser": "root"' && make_trust 1000
    echo vscode | as_root tee "$trust/user" >/dev/null
    up
    check "login as the account in \`user\`" until_login vscode
    check "the remote user is refused" refused ssh_as root true
    as_root rm "$trust/user"
    check "start takes the change up" equals "$(start root >/dev/null; echo $?)" 0
    check "login as the remote user" ssh_as root true
    check "the other is refused now" refused ssh_as vscode true
    echo 'root *' | as_root tee "$trust/user" >/dev/null
    check "a malformed name" equals "$(start root; echo $?)" \
        $'lace-ssh: error: /etc/lace-ssh/user does not hold the name of an account\n1'
}

case_host_key() {
    make_project host-key base '"remoteUser": "vscode"' && make_trust 1000 && up
    until_login vscode
    ssh_as vscode 'echo begun; sleep 5; echo lived' >"$project/session" &
    sleep 1
    as_root rm -f "$trust/ssh_host_ed25519_key" "$trust/ssh_host_ed25519_key.pub"
    as_root ssh-keygen -q -t ed25519 -N '' -f "$trust/ssh_host_ed25519_key"
    start vscode >/dev/null
    check "a new host key is used after start" ssh_as vscode true
    wait
    check "the open session lived on" equals "$(cat "$project/session")" $'begun\nlived'
}

case_late_keys() {
    make_project late-keys base '"remoteUser": "vscode"'
    mkdir "$project/trust" && up
    check "the container runs without keys" docker exec "$id" true
    check "start says what it waits for" equals "$(start vscode; echo $?)" \
        $'lace-ssh: no host key in /etc/lace-ssh yet; sshd starts when `lace-ssh initialize` on the host has made it\n3'
    check "one process waits" equals "$(docker exec -u root "$id" sh -c 'ps -eo args | grep -c "[l]ace-ssh/start"')" 1
    mv "$project/trust" "$project/old" && make_trust 4242
    as_root sh -c "cp -p '$trust'/* '$project/old/' && rm -rf '$trust' && ln -s old '$trust'"
    check "login when the keys are there" until_login vscode
    check "one sshd" equals "$(sshds)" 1
}

case_container_user() {
    make_project container-user base '"containerUser": "vscode"' && make_trust 4242 && up
    check_login vscode
    check_restart vscode
}

case_nosudo() {
    local log=/var/lib/lace-ssh/own/1000/sshd.log
    make_project nosudo nosudo '"containerUser": "vscode"' && make_trust 1000 && up
    check_sessions vscode
    check_refusals vscode
    check_all_else vscode
    check_restart vscode
    check "start, again" equals "$(start vscode; echo $?)" 0
    docker exec -u root "$id" sh -c 'kill $(cat /var/lib/lace-ssh/own/1000/sshd.pid)'
    sleep 0.3
    check "start brings it back" equals "$(start vscode; echo $?)" $'lace-ssh: sshd runs: port 2222, account vscode\n0'
    check "login after that" ssh_as vscode true
}

case_nosudo_unreadable() {
    make_project nosudo-unreadable nosudo '"containerUser": "vscode"' && make_trust 4242 && up
    check "the container runs" docker exec "$id" true
    check "start says why there is no sshd" equals "$(start vscode; echo $?)" "lace-ssh: error: $unreadable"$'\n1'
    check "so does the log" grep -qF "$unreadable" <(log /var/lib/lace-ssh/own/1000/sshd.log)
}
unreadable='vscode may not read /etc/lace-ssh, which belongs to uid 4242, and has no sudo without a password; the host gets in all the same, by a stream of the engine, a second later. To have an sshd that listens, let root start the container (in devcontainer.json: "containerUser": "root", "remoteUser": "vscode")'

# Without root the account makes its folder itself, where others may have been first.
case_nosudo_race() {
    make_project nosudo-race nosudo '"containerUser": "vscode"' && make_trust 1000 && with_binary && up
    until_login vscode
    docker exec -u vscode "$id" mkdir -m 700 /home/vscode/private
    race 500 had vscode
    docker exec -u root "$id" rm -rf /var/lib/lace-ssh/own/1000
    race 700 lacked vscode
    docker exec -u root "$id" sh -c 'rm -rf /var/lib/lace-ssh/own/*'
    docker exec -u nobody "$id" mkdir -m 777 /var/lib/lace-ssh/own/1000
    docker stop -t 1 "$id" >/dev/null
    check "somebody else's folder does not stop \`up\`" up
    check "it says what mends that" says "warning: no sshd runs here: /var/lib/lace-ssh/own/1000 cannot be made, or is not \
vscode's alone: as root, remove it, and restart the container"
    check "nothing is in it" equals "$(docker exec -u root "$id" ls -A /var/lib/lace-ssh/own/1000)" ""
    docker exec -u root "$id" rm -r /var/lib/lace-ssh/own/1000
    docker restart -t 1 "$id" >/dev/null
    check "login after that" until_login vscode
}

# root starts the container, the remote user may not become root: only root's entrypoint starts sshd.
case_nosudo_remote() {
    make_project nosudo-remote nosudo '"remoteUser": "vscode"' && make_trust 1000 && up
    check_login vscode
    check_restart vscode
    check "start as vscode" equals "$(start vscode; echo $?)" 0
    docker exec -u root "$id" sh -c 'kill $(cat /run/lace-ssh/sshd.pid)'
    sleep 0.3
    check "start cannot help" equals "$(start vscode >/dev/null; echo $?)" 1
}

case_bare() {
    make_project bare bare '"remoteUser": "vscode"' && make_trust 1000 && up
    check_login vscode
    check "no host key in the image" equals "$(docker exec "$id" sh -c 'ls /etc/ssh/ssh_host_*' 2>/dev/null || true)" ""
    check "no package lists" equals "$(docker exec "$id" sh -c 'ls /var/lib/apt/lists/*_Packages*' 2>/dev/null || true)" ""
}

case_binary() {
    make_project binary base '"remoteUser": "vscode"' && make_trust 1000
    printf '#!/bin/sh\necho lace-ssh 1.2.3\n' >"$project/.devcontainer/lace-ssh/lace-ssh"
    up
    check "the binary is installed" equals "$(docker exec -u vscode "$id" lace-ssh --version)" "lace-ssh 1.2.3"
    make_project binary-foreign base '"remoteUser": "vscode"' && make_trust 1000
    printf '\x7fELF of another machine' >"$project/.devcontainer/lace-ssh/lace-ssh"
    up
    check "the container says which contract it follows" grep -qF '"customizations":{"lace":{"ssh":{"contract":2}}}' \
        <(docker inspect --format '{{ index .Config.Labels "devcontainer.metadata" }}' "$id")
    check "a script stands for one that does not run" equals "$(docker exec "$id" readlink /usr/local/bin/lace-ssh)" \
        /usr/local/share/lace-ssh/post-start
    check "login without it" until_login vscode
}

# What lifecycle commands said is in the log of `up`.
says() { grep -aqF "$1" "$project/up.log" || { tail -n 5 "$project/up.log" && false; }; }

# `devcontainer up` with the real post-start: ssh may be missing, the container may not.

case_no_mount() {
    make_project no-mount base '"remoteUser": "vscode"'
    sed -i '/"mounts"/d' "$project/.devcontainer/devcontainer.json" && with_binary
    check "the container is made" up
    check "post-start says why there is no ssh" says "warning: no sshd runs here: /etc/lace-ssh is not there: install \
lace-ssh on the host; where it is there, the container was made without its mount: devcontainer up --workspace-folder . --remove-existing-container"
    check "so does the log" grep -q 'made without its mount' <(log)
}

case_post_start() {
    make_project post-start base '"remoteUser": "vscode", "remoteEnv": { "REMOTE": "it'"'"'s here" }' && make_trust 4242
    with_binary && up
    check_quiet_start
    check "sessions get the environment of the lifecycle commands" \
        equals "$(ssh_as vscode 'printf "%s|" "$REMOTE" "$GREETING"')" "it's here|it's \"quoted\" \$HOME|"
    docker exec -u root "$id" sh -c 'cd /var/lib/lace-ssh/1000 && rm environment && mkdir -p environment/in-the-way'
    docker stop -t 1 "$id" >/dev/null
    check "an environment that cannot be written does not stop \`up\`" up
    check "post-start says so" says 'warning: ssh sessions do not get the environment of this one: cannot write '
    check "login without it" equals "$(ssh_as vscode 'printf "%s|" "$REMOTE" "$GREETING"')" "|it's \"quoted\" \$HOME|"
    echo ghost | as_root tee "$trust/user" >/dev/null
    docker stop -t 1 "$id" >/dev/null
    check "an account that is nowhere stops it" refused up
    check "and is named" says "error: sshd does not run: there is no account 'ghost' in this container"
}

# A teammate has no keys, in a folder that only root may read; root waits for them.
case_no_keys() {
    make_project no-keys nosudo '"remoteUser": "vscode"' && with_binary
    mkdir -m 0700 "$project/trust"
    as_root chown 4242 "$project/trust"
    check "the container is made" up
    check "post-start says what is missing" says 'the host has made no keys, so there is no ssh'
    as_root mv "$project/trust" "$project/old"
    make_trust 4242
    as_root sh -c "cp -p '$trust'/* '$project/old/' && rm -rf '$trust' && ln -s old '$trust'"
    check "login when the keys are there" until_login vscode
}

# Rootless engines without keep-id: what the host's user owns belongs to root in the container.
case_rootless() {
    make_project rootless nosudo '"containerUser": "vscode"' && make_trust 0 && with_binary
    check "the container is made" up
    check "post-start says why there is no ssh, and what mends it" \
        says "warning: no sshd runs here: ${unreadable/4242/0}"
    docker rm -f "$id" >/dev/null
    sed -i 's/"containerUser": "vscode"/"containerUser": "root", "remoteUser": "vscode"/' \
        "$project/.devcontainer/devcontainer.json"
    check "with that" up
    check "login" until_login vscode
}

# As on Alpine: BusyBox for the scripts and for the account.
case_busybox() {
    make_project busybox busybox '"remoteUser": "vscode"' && make_trust 4242 && with_binary && up
    check "this flock cannot wait" refused docker exec "$id" flock -w 1 /tmp/lock true
    check_sessions vscode
    check_refusals vscode
    check_leases vscode
    check_agent vscode
    check_host_key vscode
    check_restart vscode
    check "start as vscode, again" equals "$(start vscode; echo $?)" 0
    docker exec -u root "$id" sh -c 'kill $(cat /run/lace-ssh/sshd.pid)'
    sleep 0.3
    check "two starts at once" equals "$(start vscode & start vscode; wait)" 'lace-ssh: sshd runs: port 2222, account vscode'
    check "one sshd" equals "$(sshds)" 1
    race 150 had vscode root
}

case_port_taken() {
    make_project port-taken base '"remoteUser": "root"' && make_trust 0 && up
    until_login root
    docker exec "$id" sh -c 'kill $(cat /run/lace-ssh/sshd.pid); sleep 0.3; mkdir -p /run/sshd
        ssh-keygen -q -t ed25519 -N "" -f /tmp/key; /usr/sbin/sshd -f /dev/null -h /tmp/key -p 2222'
    check "start names the port" equals "$(start root; echo $?)" \
        $'lace-ssh: error: port 2222 is taken by another program: give the Feature lace-ssh another "port"\n1'
    check "a foreign sshd is not ours: its host key is refused" refused ssh_as root true
}

cases=("$@")
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <(compgen -A function case_ | sed 's/^case_//' | sort)

# What a case says is shown when it has ended.
failed=()
declare -A running
one_ends() {
    local pid code=0 name
    wait -n -p pid || code=$?
    name=${running[$pid]}
    unset "running[$pid]"
    echo "$name"
    cat "$all/$name.log"
    if [ "$code" != 0 ]; then failed+=("$name"); fi
}
for name in "${cases[@]}"; do
    run "$name" >"$all/$name.log" 2>&1 &
    running[$!]=$name
    # Much of it is waiting.
    if [ ${#running[@]} -ge $((2 * $(nproc))) ]; then one_ends; fi
done
while [ ${#running[@]} -gt 0 ]; do one_ends; done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
