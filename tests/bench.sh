#!/usr/bin/env bash
# Measures lace-ssh beside what it is made of and what it takes the place of: one table, medians, ratios first, each
# with the target it is meant to reach. Commands that are compared take turns (interleave.py). Loopback only.
#
# usage: bench.sh [PART…]      commands, ssh, streams, adopt, certificates, many, editor, growth, size; default: all
#
# LACE_SSH_BENCH_ROUNDS        how often each quick command runs; default: 40
# LACE_SSH_BENCH_BULK_ROUNDS   how often 500 MB are sent each way; default: 20
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/engine.sh
source "$root/tests/engine.sh"

rounds=${LACE_SSH_BENCH_ROUNDS:-40}
bulk_rounds=${LACE_SSH_BENCH_BULK_ROUNDS:-20}
work=$(mktemp -d)
declare -A median
missed=0
second=

clean_up() {
    set +e
    docker rm -f -v lace-bench-adopted >/dev/null 2>&1
    stop_second
    remove_leftovers
    stop_engine
    as_root rm -rf "$work"
}
trap clean_up EXIT

# measure ROUNDS: the commands on stdin, as interleave.py wants them.
measure() {
    local name value
    python3 "$root/tests/interleave.py" "$1" >"$work/medians"
    while IFS=$'\t' read -r name value; do median[$name]=$value; done <"$work/medians"
}

# peak CMD…: its peak memory in MB.
peak() {
    command time -f %M -o "$work/peak" "$@" >/dev/null 2>&1 </dev/null
    awk '{ printf "%.1f", $1 / 1024 }' "$work/peak"
}

# holds A OP B
holds() { awk -v a="$1" -v b="$3" "BEGIN { exit !(a $2 b) }"; }

heading() { printf '\n%-6s %-9s %-7s %-38s %12s   %s\n' ratio target '' "$1" lace-ssh "${2-}"; }

# row RATIO OP TARGET WHAT OURS AGAINST: no target, no verdict.
row() {
    local verdict='' target=''
    if [ -n "$3" ]; then
        target="$2 $3" verdict=ok
        holds "$1" "$2" "$3" || { verdict=MISSED missed=$((missed + 1)); }
    fi
    printf '%-6s %-9s %-7s %-38s %12s   %s\n' "$1" "$target" "$verdict" "$4" "$5" "${6-}"
}

# against OURS THEIRS OP TARGET WHAT WHOSE: the ratio of two medians.
against() {
    local ratio
    ratio=$(awk -v a="${median[$1]}" -v b="${median[$2]}" 'BEGIN { printf "%.2f", a / b }')
    row "$ratio" "$3" "$4" "$5" "$(ms "$1")" "$6 $(ms "$2")"
}

# within VALUE TARGET UNIT WHAT: an absolute limit, as a share of it.
within() {
    row "$(awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }')" '<=' 1 "$4" "$1 $3" "limit $2 $3"
}

ms() { awk -v t="${median[$1]}" 'BEGIN { printf (t < 100 ? "%.1f ms" : "%.0f ms"), t }'; }

# make_config BYTES: a devcontainer.json of about that size, as people write them.
make_config() {
    awk -v size="$1" 'BEGIN {
        text = "{\n\t// made for the bench\n\t\"image\": \"lace-ssh-test:base\",\n\t\"customizations\": {\n\t\t\"vscode\": {\n\t\t\t\"settings\": {\n"
        printf "%s", text
        for (n = length(text) + 40; n < size; n += length(text)) {
            i++
            text = sprintf("\t\t\t\t\"section%d.setting\": [%d, \"value %d\"], // why it is so\n", i, i, i)
            printf "%s", text
        }
        print "\t\t\t\t\"last\": true\n\t\t\t}\n\t\t}\n\t}\n}"
    }'
}

# make_project FOLDER BYTES
make_project() {
    mkdir -p "$1/.devcontainer"
    make_config "$2" >"$1/.devcontainer/devcontainer.json"
}

setup() { lace-ssh setup --yes --no-client-config "$@" >/dev/null 2>&1; }

prepare() {
    need_binary
    need_commands cc python3 time curl ssh ssh-keygen
    start_engine
    need_devcontainer
    need_image base
    note_images "$work"
    need_jsonc_parser
    if [ -d "$HOME/.docker" ]; then export DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}; fi
    # As an installation leaves it: a file that a linker has written piece by piece is slower to start.
    mkdir "$work/bin"
    cp "$BINARY" "$work/bin/lace-ssh"
    PATH=$work/bin:${DEVCONTAINER%/*}:$PATH
    unset LACE_SSH_HOME SSH_AUTH_SOCK
    export HOME=$work/home
    mkdir "$HOME"
}

make_container() {
    make_project "$work/bench" 1
    cd "$work/bench"
    sed -i 's/"image"/"remoteUser": "vscode", "image"/' .devcontainer/devcontainer.json
    lace-ssh setup --yes >/dev/null 2>&1
    devcontainer up --workspace-folder . >"$work/up.log" 2>&1 || { cat "$work/up.log"; return 1; }
    container=$(docker ps -q --filter "label=devcontainer.local_folder=$PWD")
    id=$(basename "$HOME"/.config/lace/ssh/trust/*)
}

bench_commands() {
    local socket=${DOCKER_HOST:-unix:///var/run/docker.sock} fresh=$work/fresh/.config/lace
    local filter="%7B%22label%22%3A%5B%22devcontainer.local_folder%3D$PWD%22%5D%7D"
    engine_say "quick commands, $rounds rounds"
    measure "$rounds" <<EOF
version :: lace-ssh --version
ready :: lace-ssh initialize --id $id
first :: HOME=$work/fresh lace-ssh initialize --id $id :: rm -rf $fresh; mkdir -p $work/fresh
port :: lace-ssh port lace-bench
status :: lace-ssh status
doctor :: lace-ssh doctor
ssh-keygen :: ssh-keygen -q -t ed25519 -N '' -f $work/key :: rm -f $work/key*
docker port :: docker port $container 2222
docker inspect :: docker inspect $container
curl :: curl -sf --unix-socket ${socket#unix://} http://localhost/containers/json?filters=$filter
EOF
    measure 20 <<EOF
read-configuration :: devcontainer read-configuration --workspace-folder .
EOF
    heading "commands"
    against port "docker port" '<=' 0.2 "port" "docker port"
    against port "docker inspect" '' '' "port" "docker inspect"
    against port curl '' '' "port" "curl, the engine's API"
    against ready ssh-keygen '<=' 0.5 "initialize, nothing to do" "ssh-keygen -t ed25519"
    against first ssh-keygen '<=' 3 "initialize, from nothing" "ssh-keygen -t ed25519"
    against ready read-configuration '' '' "initialize, nothing to do" "devcontainer read-configuration"
    against status "docker inspect" '' '' "status" "docker inspect"
    against version ssh-keygen '' '' "--version" "ssh-keygen -t ed25519"
    within "${median[doctor]}" 500 ms "doctor, with a real login"
}

# A bare sshd in the container, at port 2200, with the same keys; and what passes a socket to ssh and does nothing else.
make_floor() {
    cc -O2 -o "$work/floor" "$root/tests/floor.c"
    docker exec -u root "$container" sh -c 'mkdir -p /run/sshd && cp /etc/lace-ssh/ssh_host_ed25519_key /etc/bench_key &&
        grep -o "ssh-ed25519 [^ ]*" /etc/lace-ssh/authorized_keys >/etc/bench_authorized &&
        chmod 600 /etc/bench_key && /usr/sbin/sshd -f /dev/null -p 2200 -h /etc/bench_key -o PidFile=none -o StrictModes=no \
        -o AuthorizedKeysFile=/etc/bench_authorized'
}

bench_ssh() {
    local address port plain lace floor copy bridge name value size=500000000
    address=$(lace-ssh port lace-bench)
    port=${address##*:}
    sed "s/^lace-bench /[127.0.0.1]:$port /" "$HOME/.config/lace/ssh/known_hosts" >"$work/known_hosts"
    # The defaults of ssh, but for what it takes to use the same key and to have it ask nothing.
    plain="ssh -F none -p $port -i $HOME/.config/lace/ssh/keys/lace-bench/identity -o UserKnownHostsFile=$work/known_hosts"
    plain+=" -o BatchMode=yes vscode@127.0.0.1"
    lace="ssh -F $HOME/.ssh/config lace-bench"
    copy="ssh -F $HOME/.ssh/config -o ProxyUseFdpass=no lace-bench"
    bridge=$(docker inspect --format '{{ .NetworkSettings.IPAddress }}' "$container")
    make_floor
    floor="ssh -F $HOME/.ssh/config -o 'ProxyCommand=$work/floor $bridge 2200' lace-bench"
    engine_say "ssh, $rounds rounds; then 500 MB each way, $bulk_rounds rounds"
    measure "$rounds" <<EOF
ssh :: $lace true
plain :: $plain true
copy :: $copy true
floor :: $floor true
EOF
    python3 "$root/tests/greeting.py" "$rounds" "$bridge" 2222 lace-ssh proxy lace-bench >"$work/medians"
    while IFS=$'\t' read -r name value; do median[$name]=$value; done <"$work/medians"
    measure "$bulk_rounds" <<EOF
up :: sh -c "head -c $size /dev/zero | $lace 'cat >/dev/null'"
copy up :: sh -c "head -c $size /dev/zero | $copy 'cat >/dev/null'"
plain up :: sh -c "head -c $size /dev/zero | $plain 'cat >/dev/null'"
down :: $lace 'head -c $size /dev/zero'
copy down :: $copy 'head -c $size /dev/zero'
plain down :: $plain 'head -c $size /dev/zero'
EOF
    heading "ssh"
    against ssh plain '<=' 0.35 "ssh lace-x true" "ssh -p PORT"
    against ssh floor '' '' "ssh lace-x true" "the floor: a bare sshd, a bare socket"
    against copy plain '' '' "ssh lace-x true, copied" "ssh -p PORT"
    within "$(awk -v a="${median[greeting]}" -v b="${median[bare greeting]}" 'BEGIN { printf "%.1f", a - b }')" 4 ms "proxy, beside a bare connection"
    throughput up 1.7 "500 MB to the container"
    throughput down 1.7 "500 MB from the container"
    throughput "copy up" 0.9 "500 MB to the container, copied"
    throughput "copy down" 0.9 "500 MB from the container, copied"
}

# By the port of `listen`, as whoever reads our block and no ProxyCommand would come; in bulk, as a client that knows the address alone.
bench_listen() {
    local lace port address published plain listened listen size=500000000 before
    # Not through a pipe, which would end with the first line.
    lace-ssh listen >"$work/listening" &
    listen=$!
    until [ -s "$work/listening" ]; do sleep 0.1; done
    address=$(awk '$2 == "lace-bench" { print $1 }' "$work/listening")
    port=${address##*:}
    published=$(lace-ssh port lace-bench)
    published=${published##*:}
    grep '^lace-bench ' "$HOME/.config/lace/ssh/known_hosts" | sed "s/^lace-bench /[127.0.0.1]:$port,[127.0.0.1]:$published /" >"$work/known_hosts"
    lace="ssh -F $HOME/.ssh/config"
    plain="ssh -F none -i $HOME/.config/lace/ssh/keys/lace-bench/identity -o UserKnownHostsFile=$work/known_hosts -o BatchMode=yes vscode@127.0.0.1"
    listened="$lace -o ProxyCommand=none -o HostName=127.0.0.1 -o Port=$port lace-bench"
    engine_say "listen, $rounds rounds; then 500 MB each way, $bulk_rounds rounds; then a minute"
    measure "$rounds" <<EOF
listened :: $listened true
by proxy :: $lace lace-bench true
EOF
    measure "$bulk_rounds" <<EOF
up :: sh -c "head -c $size /dev/zero | $plain -p $port 'cat >/dev/null'"
plain up :: sh -c "head -c $size /dev/zero | $plain -p $published 'cat >/dev/null'"
down :: $plain -p $port 'head -c $size /dev/zero'
plain down :: $plain -p $published 'head -c $size /dev/zero'
EOF
    before=$(cut -d ' ' -f 14,15 "/proc/$listen/stat")
    sleep 60
    heading "listen"
    against listened "by proxy" '<=' 1.3 "ssh, by the port of listen" "ssh lace-x true"
    throughput up 0.9 "500 MB to the container, by listen"
    throughput down 0.9 "500 MB from the container, by listen"
    row "$(awk -v tick="$(getconf CLK_TCK)" -v b="$before" -v a="$(cut -d ' ' -f 14,15 "/proc/$listen/stat")" '
        BEGIN { n = split(b, x); split(a, y); while (n) { s += y[n] - x[n]; n-- } printf "%.2f", s / tick }')" '<=' 0 \
        "seconds of a core in an idle minute of listen" '' ''
    within "$(awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' "/proc/$listen/status")" 15 MB "memory of listen, at most"
    kill "$listen"
}

# The same port of the container, by `forward` and by ssh alone.
bench_forward() {
    local forward plain size=500000000
    # shellcheck disable=SC2016 # perl's own
    docker exec -d "$container" perl -e 'use IO::Socket::INET; $SIG{PIPE} = "IGNORE"; my $chunk = "\0" x 262144;
        my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 24000, Listen => 9) or die;
        while (my $c = $s->accept) { while (syswrite $c, $chunk) {} close $c }'
    lace-ssh forward lace-bench 24001:24000 >"$work/forwarding" &
    forward=$!
    until [ -s "$work/forwarding" ]; do sleep 0.1; done
    ssh -F "$HOME/.ssh/config" -N -L 24002:localhost:24000 lace-bench &
    plain=$!
    until (exec 3<>/dev/tcp/127.0.0.1/24002) 2>/dev/null; do sleep 0.1; done
    engine_say "forward, 500 MB, $bulk_rounds rounds"
    measure "$bulk_rounds" <<EOF
forward :: bash -c "head -c $size </dev/tcp/127.0.0.1/24001"
plain forward :: bash -c "head -c $size </dev/tcp/127.0.0.1/24002"
EOF
    heading "forward"
    throughput forward 0.9 "500 MB by forward" "ssh -L"
    kill "$forward" "$plain"
}

# A dev container without a network: by the engine alone, as `docker exec` would lead there.
make_secluded() {
    make_project "$work/secluded" 1
    (
        cd "$work/secluded"
        sed -i 's/"image"/"remoteUser": "vscode", "runArgs": ["--network=none"], "image"/' .devcontainer/devcontainer.json
        setup
        devcontainer up --workspace-folder . >"$work/up.log" 2>&1 || { cat "$work/up.log"; return 1; }
        docker ps -q --no-trunc --filter "label=devcontainer.local_folder=$PWD" >"$work/secluded.id"
    )
}

bench_streams() {
    local size=500000000 lace peer secluded session pump before first way
    make_secluded
    secluded=$(cat "$work/secluded.id")
    lace="ssh -F $HOME/.ssh/config lace-secluded"
    peer=$work/by-exec
    printf '#!/bin/sh\nexec ssh -F %s -o ProxyUseFdpass=no -o "ProxyCommand=docker exec -i -u root %s %s" lace-secluded "$@"\n' \
        "$HOME/.ssh/config" "$secluded" "/usr/sbin/sshd -i -f /usr/local/share/lace-ssh/sshd_config -o AllowUsers=vscode" >"$peer"
    chmod +x "$peer"
    for first in mount exec; do
        way="by the mount"
        if [ "$first" = exec ]; then
            # Without a bell, the engine leads in.
            rm "$HOME"/.config/lace/ssh/trust/*/bell
            way="by a stream of the engine"
        fi
        engine_say "no network, $way, $rounds rounds; then 500 MB each way, $bulk_rounds rounds"
        lace-ssh doctor secluded | grep -Eq "route +$first(;|$)"
        measure "$rounds" <<EOF
stream :: $lace true
exec :: $peer true
EOF
        measure "$bulk_rounds" <<EOF
stream up :: sh -c "head -c $size /dev/zero | $lace 'cat >/dev/null'"
plain stream up :: sh -c "head -c $size /dev/zero | $peer 'cat >/dev/null'"
stream down :: $lace 'head -c $size /dev/zero'
plain stream down :: $peer 'head -c $size /dev/zero'
EOF
        heading "no network, $way"
        against stream exec '<=' 0.75 "ssh lace-x true" "by docker exec"
        throughput "stream up" 1 "500 MB to the container" "docker exec"
        throughput "stream down" 1.5 "500 MB from the container" "docker exec"
    done
    $lace "head -c $size /dev/zero; exec sleep 30" >/dev/null &
    session=$!
    sleep 15
    pump=$(pgrep -f "pump lace-secluded .* $secluded")
    within "$(awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' "/proc/$pump/status")" 10 MB "what carries a stream, at most"
    before=$(cut -d ' ' -f 14,15 "/proc/$pump/stat")
    sleep 5
    [ "$before" = "$(cut -d ' ' -f 14,15 "/proc/$pump/stat")" ] || missed=$((missed + 1))
    echo "CPU of an idle stream in 5 s: $before before, $(cut -d ' ' -f 14,15 "/proc/$pump/stat") after"
    # The engine is a child of this shell, too.
    wait "$session"
}

# A container that was never wired, until somebody is in it: each round with a store of its own.
bench_adopt() {
    local plain round began times=()
    plain=$(docker run -d --network=none --name lace-bench-adopted lace-ssh-test:base sleep infinity)
    for round in 1 2 3 4 5 6 7 8 9; do
        mkdir -m 700 "$work/adopts-$round"
        began=$(date +%s%N)
        HOME=$work/adopts-$round lace-ssh adopt lace-bench-adopted 2>/dev/null
        HOME=$work/adopts-$round lace-ssh connect lace-bench-adopted -- true
        times+=($((($(date +%s%N) - began) / 1000000)))
    done
    docker rm -f -v "$plain" >/dev/null
    heading "a container that was never wired"
    within "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 5p)" 2000 ms "adopt a container, and run true in it"
}

# A second dev container, which certificates open; they are good for so long that none is renewed in the midst of a login.
make_certified() {
    local text='"customizations": {\n\t\t"lace": { "ssh": { "auth": "certificate", "certificateTtl": "8h" } },'
    make_project "$work/certified" 1
    sed -i "s/\"image\"/\"remoteUser\": \"vscode\", &/; s/\"customizations\": {/$text/" "$work/certified/.devcontainer/devcontainer.json"
    setup --workspace-folder "$work/certified"
    devcontainer up --workspace-folder "$work/certified" >"$work/up.log" 2>&1 || { cat "$work/up.log"; return 1; }
    certified=$(docker ps -q --filter "label=devcontainer.local_folder=$work/certified")
    trust=$(docker inspect --format '{{ range .Mounts }}{{ if eq .Destination "/etc/lace-ssh" }}{{ .Source }}{{ end }}{{ end }}' "$certified")
    lace-ssh refresh lace-certified
}

# written CMD…: how many files of the store are others after it.
written() {
    local before
    before=$(store_files)
    "$@" >/dev/null
    diff <(echo "$before") <(store_files) | grep -c '^>' || true
}

store_files() { find "$HOME/.config/lace/ssh" -printf '%p %i %s %C@\n' | sort; }

# list_revoked COUNT ID: as many certificates as if each had been revoked on its own, all of one dev container.
list_revoked() {
    awk -v count="$1" -v id="$2" -v now="$(date +%s)" 'BEGIN {
        printf "{\"version\":1,\"all\":["
        for (i = 1; i <= count; i++) printf "%s{\"serial\":\"%d%09d%09d\",\"id\":\"%s\",\"since\":%d,\"until\":%d}",
            (i > 1 ? "," : ""), 1 + i % 17, rand() * 1e9, i, id, now, now + 86400
        print "]}"
    }'
}

bench_certificates() {
    local store=$HOME/.config/lace/ssh certified trust before
    local logins="key :: ssh -F $HOME/.ssh/config lace-bench true
certificate :: ssh -F $HOME/.ssh/config lace-certified true"
    engine_say "certificates, $rounds rounds; then with 10,000 that are revoked"
    make_certified
    ssh-keygen -q -t ed25519 -N '' -f "$work/ca"
    cp "$store/keys/lace-certified/identity.pub" "$work/signed.pub"
    measure "$rounds" <<EOF
issue :: lace-ssh cert issue lace-certified
sign :: ssh-keygen -q -s $work/ca -I bench -n lace-certified -V +8h $work/signed.pub
EOF
    measure "$rounds" <<<"refresh :: lace-ssh refresh lace-certified
$logins"
    heading "certificates"
    against issue sign '<=' 0.5 "cert issue" "ssh-keygen -s"
    within "$(awk -v t="${median[refresh]}" 'BEGIN { printf "%.1f", t }')" 3 ms "refresh, a good certificate"
    row "$(written lace-ssh refresh lace-certified)" '<=' 0 "refresh, files written" ''
    against certificate key '<=' 1.1 "ssh lace-x true, by certificate" "by key"
    bench_revoked
    docker rm -f "$certified" >/dev/null
}

# Called by bench_certificates. The one without is measured before and after, for the machine's speed drifts.
bench_revoked() {
    before=${median[certificate]}
    list_revoked 10000 "$(basename "$trust")" >"$store/revoked.json"
    lace-ssh cert revoke --serial 1 2>/dev/null
    cp "$store/revoked.json" "$work/revoked.json"
    cp "$trust/revoked_keys" "$work/revoked_keys"
    measure "$rounds" <<EOF
revoke :: lace-ssh cert revoke --serial 2 :: cp $work/revoked.json $store/; cp $work/revoked_keys $trust/
version :: lace-ssh --version
refresh :: lace-ssh refresh lace-certified
EOF
    within "$(awk -v t="${median[revoke]}" 'BEGIN { printf "%.1f", t }')" 50 ms "cert revoke, 10,000 revoked"
    against refresh version '' '' "refresh, and the list has changed" "--version"
    # The next one that is issued is younger than the list.
    sleep 2.1
    rm "$store/keys/lace-certified/lace-certified-cert.pub"
    measure "$rounds" <<<"refresh :: lace-ssh refresh lace-certified
$logins"
    median[many]=${median[certificate]}
    within "$(awk -v t="${median[refresh]}" 'BEGIN { printf "%.1f", t }')" 3 ms "refresh, 10,000 revoked"
    rm "$store/revoked.json"
    lace-ssh cert revoke --serial 1 2>/dev/null
    measure "$rounds" <<<"$logins"
    median[certificate]=$(awk -v a="$before" -v b="${median[certificate]}" 'BEGIN { print (a + b) / 2 }')
    against many certificate '<=' 1.1 "ssh lace-x true, 10,000 revoked" "none"
}

# Among many: the others are dev containers too, each with a trust folder of its own, and run.
bench_many() {
    local ids=() before watched
    engine_say "port, among 2 containers and among 200"
    more_containers 1 1
    measure "$rounds" <<<"port 2 :: lace-ssh port lace-bench"
    before=${median[port 2]}
    more_containers 2 199
    measure "$rounds" <<EOF
port 200 :: lace-ssh port lace-bench
status 200 :: lace-ssh status
list 200 :: docker ps -a
EOF
    watched=$(watch_cpu)
    docker rm -f "${ids[@]:100}" >/dev/null
    start_second 100
    measure "$rounds" <<<"port two :: lace-ssh port lace-bench"
    stop_second
    docker rm -f "${ids[@]:1:99}" >/dev/null
    # The machine's speed drifts: measured before and after.
    measure "$rounds" <<<"port 2 :: lace-ssh port lace-bench"
    docker rm -f "${ids[0]}" >/dev/null
    median[port 2]=$(awk -v a="$before" -v b="${median[port 2]}" 'BEGIN { print (a + b) / 2 }')
    heading "many containers"
    against "port 200" "port 2" '<=' 1.2 "port, among 200 containers" "among 2"
    against "port two" "port 2" '<=' 1.5 "port, among 200 on two engines" "among 2 on one"
    against "status 200" "list 200" '<=' 0.5 "status, 200 containers" "docker ps -a"
    within "$watched" 2 % "a core, for status --watch of 200 containers"
}

# What `status --watch` takes of a core, in per cent, over half a minute.
watch_cpu() {
    local watch pid
    (sleep 35; printf q) | script -qec "stty cols 120 rows 40; TERM=xterm exec lace-ssh status --watch" /dev/null >/dev/null &
    watch=$!
    sleep 3
    pid=$(pgrep -fx 'lace-ssh status --watch')
    awk -v tick="$(getconf CLK_TCK)" -v before="$(cut -d ' ' -f 14,15 "/proc/$pid/stat")" -v after="$(sleep 30; cut -d ' ' -f 14,15 "/proc/$pid/stat")" '
        BEGIN { split(before, b); split(after, a); printf "%.1f", (a[1] + a[2] - b[1] - b[2]) / tick / 30 * 100 }'
    wait "$watch"
}

# start_second COUNT: an engine that the settings name, in a network of its own, with so many containers that were never
# started.
start_second() {
    local folder=/var/tmp/lace-bench-$$ n
    second=$folder
    mkdir -p "$folder"
    unshare --net dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" --exec-root "$folder/exec" \
        --pidfile "$folder/pid" >"$folder/log" 2>&1 &
    for ((n = 1; n <= 120; n++)); do
        if docker --host "unix://$folder/docker.sock" version >/dev/null 2>&1; then break; fi
        sleep 0.5
    done
    tar -c --files-from /dev/null | docker --host "unix://$folder/docker.sock" import - empty >/dev/null
    for ((n = 1; n <= $1; n++)); do
        docker --host "unix://$folder/docker.sock" create --label "devcontainer.local_folder=$work/second-$n" empty x >/dev/null
    done
    printf '{ "engines": ["unix://%s/docker.sock"] }\n' "$folder" >"$HOME/.config/lace/ssh/settings.jsonc"
}

stop_second() {
    [ -n "$second" ] || return 0
    rm -f "$HOME/.config/lace/ssh/settings.jsonc"
    kill "$(cat "$second/pid")"
    while [ -e "$second/pid" ]; do sleep 0.2; done
    rm -rf "$second"
    second=
}

# more_containers FROM TO: adds their IDs to ids.
more_containers() {
    local n trust
    for ((n = $1; n <= $2; n++)); do
        trust=$HOME/.config/lace/ssh/trust/$(printf '%052d' "$n")
        mkdir -p "$trust"
        ids+=("$(docker run -d --init --network none --label "devcontainer.local_folder=$work/many-$n" \
            -v "$trust:/etc/lace-ssh:ro" lace-ssh-test:base sleep infinity)")
        rmdir "$trust" 2>/dev/null || true
    done
}

# throughput NAME TARGET WHAT [WHOSE]
throughput() {
    local ours theirs
    ours=$(awk -v t="${median[$1]}" 'BEGIN { printf "%.0f", 500000 / t }')
    theirs=$(awk -v t="${median[plain ${1#copy }]}" 'BEGIN { printf "%.0f", 500000 / t }')
    row "$(awk -v a="$ours" -v b="$theirs" 'BEGIN { printf "%.2f", a / b }')" '>=' "$2" "$3" "$ours MB/s" "${4-ssh -p PORT} $theirs MB/s"
}

# The same edits by the library that editors use, each as a careful caller of it would make it.
write_peer() {
    cat >"$work/edit.js" <<'EOF'
const fs = require('fs');
const { modify, applyEdits } = require('jsonc-parser');
let text = fs.readFileSync(process.argv[2], 'utf8');
const formattingOptions = { insertSpaces: false, tabSize: 4, eol: '\n' };
for (const [path, value] of [
    [['features', './lace-ssh'], {}],
    [['mounts'], ['source=${localEnv:HOME}/.config/lace/ssh/trust/${devcontainerId},target=/etc/lace-ssh,type=bind,readonly']],
    [['runArgs'], ['--publish=127.0.0.1::2222']],
    [['initializeCommand'], 'lace-ssh initialize --id ${devcontainerId}'],
    [['postStartCommand'], 'lace-ssh post-start'],
]) text = applyEdits(text, modify(text, path, value, { formattingOptions }));
process.stdout.write(text);
EOF
}

bench_editor() {
    local size
    engine_say "the editor"
    write_peer
    export NODE_PATH=$NODE_MODULES
    make_project "$work/wired" 4000
    setup --workspace-folder "$work/wired"
    for size in 4 64 1000; do make_project "$work/size-$size" "${size}000"; done
    cp -R "$work/size-1000" "$work/write"
    cp "$work/write/.devcontainer/devcontainer.json" "$work/original"
    measure "$rounds" <<EOF
version :: lace-ssh --version
check :: lace-ssh setup --check --workspace-folder $work/wired
write :: lace-ssh setup --yes --no-client-config --workspace-folder $work/write :: cp $work/original $work/write/.devcontainer/devcontainer.json
$(for size in 4 64 1000; do
        echo "edit $size :: lace-ssh setup --dry-run --workspace-folder $work/size-$size"
        echo "node $size :: node $work/edit.js $work/size-$size/.devcontainer/devcontainer.json"
    done)
EOF
    heading "the editor"
    against check version '<=' 1.5 "setup --check, 4 KB" "--version"
    within "$(awk -v t="${median[edit 1000]}" 'BEGIN { printf "%.1f", t }')" 50 ms "setup --dry-run, 1 MB"
    within "$(peak lace-ssh setup --dry-run --workspace-folder "$work/size-1000")" 30 MB "setup --dry-run, 1 MB, memory"
    for size in 4 64 1000; do against "edit $size" "node $size" '' '' "setup --dry-run, $size KB" "node, jsonc-parser"; done
    against "edit 1000" "edit 64" '<=' 15.6 "setup --dry-run, 1000 KB" "64 KB"
    against write "edit 1000" '' '' "setup --yes, 1000 KB (durable)" "setup --dry-run"
}

# A store of 1, 10, 100 and 1,000 dev containers, each in a home folder of its own.
fill_stores() {
    local n HOME=$work/store
    mkdir "$HOME"
    make_project "$work/many" 1
    setup --feature ghcr.io/lace/lace-ssh --workspace-folder "$work/many"
    for ((n = 1; n <= 1000; n++)); do
        mkdir -p "$work/project-$n/.devcontainer"
        cp "$work/many/.devcontainer/devcontainer.json" "$work/project-$n/.devcontainer/"
        lace-ssh initialize --id "$(printf '%052d' "$n")" --workspace-folder "$work/project-$n" 2>/dev/null
        case $n in 1 | 10 | 100 | 1000) settle_store "$n" ;; esac
    done
}

# The files that ssh reads name the home folder: the first `initialize` in another one writes them anew.
settle_store() {
    cp -a "$HOME" "$work/store-$1"
    HOME=$work/store-$1 lace-ssh initialize --id "$(printf '%052d' 1)" --workspace-folder "$work/project-1" 2>/dev/null
}

bench_growth() {
    local n
    engine_say "stores of up to 1,000 dev containers"
    fill_stores
    measure "$rounds" <<EOF
$(for n in 1 10 100 1000; do
        echo "initialize $n :: HOME=$work/store-$n lace-ssh initialize --id $(printf '%052d' 1) --workspace-folder $work/project-1"
    done)
EOF
    heading "growth"
    for n in 10 100; do against "initialize $n" "initialize 1" '' '' "initialize, $n dev containers" "1"; done
    against "initialize 1000" "initialize 1" '<=' 1.5 "initialize, 1000 dev containers" "1"
    lace-ssh keys list >/dev/null 2>&1 || return 0
    bench_keys
}

bench_keys() {
    local n
    measure "$rounds" <<EOF
$(for n in 1 10 100 1000; do echo "keys $n :: HOME=$work/store-$n lace-ssh keys list"; done)
rotate :: HOME=$work/store-1 lace-ssh keys rotate lace-project-1
ssh-keygen :: ssh-keygen -q -t ed25519 -N '' -f $work/key :: rm -f $work/key*
EOF
    within "$(awk -v t="${median[keys 1000]}" 'BEGIN { printf "%.1f", t }')" 30 ms "keys list, 1000 keys"
    against "keys 100" "keys 10" '' '' "keys list, 100 keys" "10"
    against "keys 1000" "keys 10" '<=' 3 "keys list, 1000 keys" "10"
    against rotate ssh-keygen '<=' 3 "keys rotate, no container" "ssh-keygen -t ed25519"
}

bench_size() {
    local most=0 of='' mb folder line
    heading "size"
    while read -r folder line; do
        # shellcheck disable=SC2086 # the line is to be split
        mb=$(HOME=$work/$folder peak lace-ssh $line) || true
        if holds "$mb" '>' "$most"; then most=$mb of=${line%% *}; fi
    done <<EOF
home --version
home initialize --id $id
other initialize --id $id
home port lace-bench
home proxy lace-bench
home setup --check
store-1000 initialize --id $(printf '%052d' 1) --workspace-folder $work/project-1
store-1000 status
store-1000 client-config
store-1000 keys list
EOF
    within "$most" 20 MB "memory, the most of any ($of)"
    within "$(stat -Lc %s "$BINARY" | awk '{ printf "%.1f", $1 / 1000000 }')" 8 MB "the binary"
}

prepare
make_container
printf 'medians; %s cores, %s, %s; engine %s; %s\n' "$(nproc)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
    "$(. /etc/os-release && echo "$PRETTY_NAME")" "$(docker version --format '{{ .Server.Version }}')" "$(ssh -V 2>&1)"
[ $# -gt 0 ] || set -- commands ssh listen forward streams adopt certificates many editor growth size
for part in "$@"; do "bench_$part"; done
printf '\n%s\n' "$([ "$missed" = 0 ] && echo "every target is reached" || echo "targets missed: $missed")"
