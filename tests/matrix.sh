#!/usr/bin/env bash
# The same story with each engine and each OpenSSH of Debian, in one table: whether it goes well, check by check. By hand, as root on a Debian
# machine with Rust; the exit code is 1 if something fails that is not known to.
#
#   tests/matrix.sh                                       all of it: half an hour, and more for the first time
#   tests/matrix.sh docker-trixie/bullseye 'podman-*/*'   a part: engine/server, each a pattern of the shell
#
# Each engine runs in a root folder, a network and a process namespace of its own, where it cannot touch this machine's; when its first
# process ends, so does all that it has started. lace-ssh, ssh and the devcontainer CLI run on this machine, in the network of that engine.
# Root folders are kept in LACE_SSH_TEST_CACHE, if that is set. LACE_SSH_TEST_BINARY: a static lace-ssh that is there already.
set -euo pipefail

cd "$(dirname "$0")/.."
kept=${LACE_SSH_TEST_CACHE-}
work=$(mktemp -d)
export LACE_SSH_TEST_CACHE=${kept:-$work/cache}
# shellcheck source=tests/engine.sh
source tests/engine.sh
# shellcheck source=tests/roots.sh
source tests/roots.sh

ENGINES='docker-bookworm docker-trixie docker-testing podman-bookworm podman-trixie podman-testing podman-experimental'
SUITES='bullseye bookworm trixie testing'
CHECKS='up ssh stream files port restart rebuild clients doctor adopt remove compose'

# What is known not to work: engine/server/check, and why.
expected() {
    case $1 in
    *) return 1 ;;
    esac
}

name=
folder=
process=
rows=()
remarks=()
checking=
failed=
socket=
image=

# Nothing stays but the cache.
clean_up() {
    set +e
    kill_tree "$checking"
    stop_one
    rm -rf --one-file-system "$work"
}

# A process and what it has started.
kill_tree() {
    local it
    [ "$1" ] || return 0
    for it in $(pgrep -P "$1"); do kill_tree "$it"; done
    kill "$1" 2>/dev/null
}

# start_one NAME SUITE: the engine NAME (docker, podman) of that Debian; sets what the story needs.
start_one() {
    local suite=$2 command
    name=$1
    folder=$work/$name-$suite
    need_engine_root "$suite" || return 1
    engine_say "starting $name of Debian $suite (log: $folder/log)"
    mkdir -p "$folder/bin" "$folder/upper/etc/containers"
    case $name in
    docker)
        socket=$folder/run/docker.sock
        command='exec dockerd -H unix:///run/docker.sock --cgroup-parent /lace-ssh-matrix'
        ;;
    podman)
        socket=$folder/run/podman/podman.sock
        command='mkdir -p /run/podman && exec podman system service -t 0 unix:///run/podman/podman.sock'
        podman_files "$suite" "$folder/upper/etc/containers"
        ;;
    esac
    # Its first process takes in the orphans, and all end with it.
    (
        [ "$suite" != experimental ] || export CGROUP2=1
        # shellcheck disable=SC2016 # for the inner shell
        enter "$ROOT" "$folder" --net --pid --fork --kill-child -- \
            bash -c 'ip link set lo up; sh -c "$1" & while :; do sleep 1000; done' bash "$command"
    ) >"$folder/log" 2>&1 </dev/null &
    holder=$!
    for _ in $(seq 50); do [ "$process" ] || process=$(pgrep -P "$holder") || sleep 0.1; done
    [ "$process" ] || { engine_say "no namespaces: $(tail -n 3 "$folder/log")"; return 1; }
    # The engine's own command, in its root folder; Podman's is to do its work itself.
    cat >"$folder/bin/$name" <<-CONF
	#!/bin/sh
	unset CONTAINER_HOST
	export PODMAN_IGNORE_CGROUPSV1_WARNING=1
	exec nsenter --target $process --mount --net --pid -- sh -c 'cd "\$1" 2>/dev/null; shift; exec "\$@"' sh "\$PWD" /usr/bin/$name "\$@"
	CONF
    chmod +x "$folder/bin/$name"
    for _ in $(seq 120); do
        if curl -s -m 5 --unix-socket "$socket" http://engine/_ping >/dev/null; then return 0; fi
        [ -d "/proc/$process" ] || break
        sleep 0.5
    done
    engine_say "$name of Debian $suite does not answer: $(tail -n 3 "$folder/log")"
    return 1
}

# podman_files SUITE FOLDER: its configuration, as on a machine without systemd. Its cgroup 2 may have no controllers, which cgroup 1 of this
# machine has.
podman_files() {
    local runtime=runc
    [ "$1" != experimental ] || runtime=crun
    # Without it, it has no names for the containers of a network.
    cp -L /etc/resolv.conf "$2/../resolv.conf"
    cat >"$2/containers.conf" <<-CONF
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	runtime = "$runtime"
	compat_api_enforce_docker_hub = false
	[network]
	network_backend = "netavark"
	[containers]
	default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
	pids_limit = 0
	CONF
    echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' >"$2/policy.json"
    echo 'unqualified-search-registries = ["localhost"]' >"$2/registries.conf"
    printf '[storage]\ndriver = "overlay"\ngraphroot = "/var/lib/containers/storage"\nrunroot = "/run/containers/storage"\n' >"$2/storage.conf"
}

stop_one() {
    [ "$process" ] || return 0
    remove_containers
    kill -KILL "$process" 2>/dev/null || :
    wait "$holder" 2>/dev/null || :
    process=
    find /sys/fs/cgroup -depth -type d -path '*/lace-ssh-matrix*' -exec rmdir {} + 2>/dev/null || :
    rm -rf --one-file-system "$folder"
}

# here [OPTION…] -- CMD…: on this machine, in the network of the engine, or, with unshare's --net, in none. This machine's own engines are
# not to be found.
here() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    # shellcheck disable=SC2016 # for the inner shell
    timeout -k 9 300 nsenter --net="/proc/$process/ns/net" -- unshare --mount --propagation private "${options[@]}" sh -c '
        mount -t sysfs sysfs /sys
        for it in /run/docker.sock /run/podman/podman.sock; do [ ! -e $it ] || mount --bind /dev/null $it; done
        exec "$@"' sh "$@" </dev/null
}

lace() { here -- lace-ssh "$@"; }
in_container() { here -- ssh -F "$HOME/.ssh/config" -o BatchMode=yes "$@"; }
engine() { timeout -k 9 120 "$folder/bin/$name" "$@" </dev/null; }
up() { here -- "$DEVCONTAINER" up --workspace-folder . --docker-path "$name" --docker-compose-path "$COMPOSE" "$@"; }
# shellcheck disable=SC2046 # one word each
remove_containers() { engine rm -f $(engine ps -aq) >/dev/null 2>&1 || :; }
its_id() { engine ps -q --no-trunc --filter "label=devcontainer.local_folder=$PWD"; }

# says EXPECTED CMD…: prints this and nothing else, not even on stderr, but that sshd is waited for, which happens on a busy machine.
says() {
    local expected=$1 said
    shift
    said=$("$@" 2>&1) || { echo "exit status $?: $said"; return 1; }
    said=$(sed '/^lace-ssh: waiting for sshd of /d' <<<"$said")
    [ "$said" = "$expected" ] || { printf 'not %q, but %q\n' "$expected" "$said"; return 1; }
}

# Each check runs in the project's folder, below a HOME of its own, with `set -e`; what it prints is shown if it fails.

check_up() {
    lace setup --yes
    up
}

check_ssh() {
    says vscode in_container lace-x 'id -un'
    # shellcheck disable=SC2016 # for the shell in the container
    says 'from the container' in_container lace-x 'echo $WORDS'
}

check_stream() {
    # shellcheck disable=SC2031
    says '3000000' here --net -- ssh -F "$HOME/.ssh/config" -o BatchMode=yes lace-x 'head -c 3000000 /dev/zero | wc -c'
}

check_files() {
    head -c 3000000 /dev/urandom >"$HOME/sent"
    here -- scp -q -F "$HOME/.ssh/config" -o BatchMode=yes "$HOME/sent" lace-x:there
    printf 'get there %s/got\n' "$HOME" >"$HOME/batch"
    here -- sftp -q -F "$HOME/.ssh/config" -b "$HOME/batch" lace-x
    cmp "$HOME/sent" "$HOME/got"
}

# Who listens at the published port has the pinned key.
check_port() {
    local address key
    address=$(lace port)
    key=$(here -- ssh-keyscan -t ed25519 -p "${address##*:}" "${address%:*}" 2>/dev/null | cut -d ' ' -f 3)
    [ "$key" ] && grep -F "$key" "$HOME/.config/lace/ssh/known_hosts"
}

check_restart() {
    engine restart -t 1 "$(its_id)"
    check_ssh
}

check_rebuild() {
    local before
    before=$(its_id)
    cp "$HOME/.config/lace/ssh/known_hosts" "$HOME/pinned"
    up --remove-existing-container
    [ "$before" != "$(its_id)" ]
    cmp "$HOME/pinned" "$HOME/.config/lace/ssh/known_hosts"
    check_ssh
}

check_clients() {
    local suite
    for suite in $SUITES; do
        need_root "$suite"
        echo "client of Debian $suite"
        # shellcheck disable=SC2016 # for the inner shell
        says vscode nsenter --net="/proc/$process/ns/net" -- bash -euc '
            work=$0
            source "$1/tests/roots.sh" && shift
            enter "$1" "$2" -- "${@:3}"' "$work" "$root" "$ROOT" "$work/client-$suite" env "HOME=$HOME" "PATH=$PATH" ssh -F "$HOME/.ssh/config" -o BatchMode=yes lace-x 'id -un'
    done
}

check_doctor() {
    lace doctor
}

check_remove() {
    lace remove --yes --purge
    cmp before.json .devcontainer/devcontainer.json
    if in_container lace-x true; then return 1; fi
    engine rm -f "$(its_id)"
}

# One that was never wired, and has no network.
check_adopt() {
    engine run -d --name never-wired --network none "$image" sleep 1000
    lace adopt --container never-wired
    says root lace connect lace-never-wired -- id -un
    says root in_container lace-never-wired id -un
    lace doctor lace-never-wired
    lace remove --yes lace-never-wired
    engine rm -f never-wired
}

check_compose() {
    # Compose knows Podman only by the name of Docker, and would fetch an image of BuildKit's for it. What it builds, the devcontainer CLI
    # looks for below localhost/, hence compat_api_enforce_docker_hub.
    if [ "$name" = podman ]; then export DOCKER_HOST=unix://$socket DOCKER_BUILDKIT=0; fi
    cat >.devcontainer/compose.yml <<-CONF
	name: lace-ssh-matrix
	services:
	  app:
	    image: $image
	    command: sleep infinity
	CONF
    echo '{ "service": "app", "dockerComposeFile": "compose.yml", "remoteUser": "vscode" }' >.devcontainer/devcontainer.json
    lace setup --yes
    up
    says vscode in_container lace-x 'id -un'
    lace port
    lace remove --yes --purge
    engine rm -f lace-ssh-matrix-app-1
}

# story SERVER: all checks with sshd of that Debian in the container, and their row in the table.
story() {
    local pair=${folder##*/}/$1 check mark row server began run_args='[]' left=
    need_root "$1"
    server=$(chroot "$ROOT" ssh -V 2>&1 | sed 's/^OpenSSH_\([^ ,]*\).*/\1/')
    image=lace-ssh-test:$1
    timeout 300 "$folder/bin/$name" import --change 'CMD ["/bin/bash"]' - "$image" <"$(tarball_of "$1")" >/dev/null
    [ "$name" = docker ] || image=localhost/$image
    # Podman 4 has the keep-id that the devcontainer CLI asks for for an ordinary account only.
    [ "${folder##*/}" != podman-bookworm ] || run_args='["--uidmap=0:0:65536"]'

    export HOME=$work/home/$pair
    mkdir -p "$HOME/x/.devcontainer"
    cd "$HOME/x"
    printf '{\n  // By hand.\n  "image": "%s",\n  "remoteUser": "vscode",\n  "containerEnv": { "WORDS": "from the container" },\n  "runArgs": %s\n}\n' \
        "$image" "$run_args" | tee before.json >.devcontainer/devcontainer.json
    row="| ${folder##*/} | $version | $api | $server |"
    for check in $CHECKS; do
        began=$SECONDS
        if [ "$left" ]; then
            mark=–
        else
            # In the background, where `set -e` counts.
            (set -e && "check_$check") >"$HOME/$check.log" 2>&1 &
            checking=$!
            if wait "$checking"; then mark=✓; else mark=✗; fi
            checking=
        fi
        if [ "$mark" = ✗ ]; then
            remarks+=("$pair, $check: $(grep -v '^    at \|^{"outcome"' "$HOME/$check.log" | tail -n 12)")
            engine_say "${remarks[-1]}"
            expected "$pair/$check" || failed=1
            [ "$check" != up ] || left=1
        fi
        engine_say "$pair: $check $mark $((SECONDS - began)) s"
        if [ "$check" = up ]; then row+=" $(way) |"; fi
        row+=" $mark |"
    done
    rows+=("$row")
    remove_containers
    cd "$root"
}

# The route that ssh takes.
way() { lace status --json 2>/dev/null | node -p 'JSON.parse(require("fs").readFileSync(0))[0].routes[0].via' 2>/dev/null || echo –; }

told() { curl -s -m 20 --unix-socket "$socket" http://engine/version | node -p "JSON.parse(require('fs').readFileSync(0)).$1"; }

table() {
    local check
    printf '\n| engine | version | API | sshd | way |'
    for check in $CHECKS; do printf ' %s |' "$check"; done
    printf '\n| --- | --- | --- | --- | --- |'
    for check in $CHECKS; do printf ' --- |'; done
    printf '\n'
    printf '%s\n' "${rows[@]}"
    [ ${#remarks[@]} = 0 ] || printf '\n%s\n' "${remarks[@]}"
    printf '\ndevcontainer CLI %s, %s, %s s\n' "$("$DEVCONTAINER" --version)" "$("$COMPOSE" version)" "$SECONDS"
}

# is_wanted NAME
is_wanted() {
    local pattern
    [ ${#wanted[@]} -gt 0 ] || return 0
    for pattern in "${wanted[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ $1 != $pattern ]] || return 0
    done
    return 1
}

trap clean_up EXIT
wanted=("$@")
root=$PWD
[ "$(id -u)" = 0 ] || { engine_say "this needs root"; exit 1; }
need_commands debootstrap curl node npm ssh ssh-keyscan unshare nsenter ip pgrep
need_devcontainer
need_compose
BINARY=${LACE_SSH_TEST_BINARY-}
[ "$BINARY" ] || need_binary
mkdir "$work/bin" "$work/tmp"
cp "$BINARY" "$work/bin/lace-ssh"
unset DOCKER_CONTEXT DOCKER_CONFIG SSH_AUTH_SOCK XDG_RUNTIME_DIR XDG_CONFIG_HOME LACE_SSH_HOME
export TMPDIR=$work/tmp NO_COLOR=1
path=$PATH

for one in $ENGINES; do
    servers=()
    for suite in $SUITES; do ! is_wanted "$one/$suite" || servers+=("$suite"); done
    [ ${#servers[@]} -gt 0 ] || continue
    unset DOCKER_HOST CONTAINER_HOST
    export PATH=$path
    if ! start_one "${one%-*}" "${one#*-}"; then
        failed=1
        remarks+=("$one did not start")
        stop_one
        continue
    fi
    export PATH=$folder/bin:$work/bin:$path
    case $name in
    docker) export DOCKER_HOST=unix://$socket ;;
    podman) export CONTAINER_HOST=unix://$socket ;;
    esac
    version=$(told Version) api=$(told ApiVersion)
    for suite in "${servers[@]}"; do story "$suite"; done
    stop_one
done
table
[ ! "$failed" ]
