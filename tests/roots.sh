# shellcheck shell=bash
# Root folders of Debian, and programs that run with one as their root. To be sourced after tests/engine.sh, as root.
#
#   need_root SUITE          that of the image, with OpenSSH, in the cache; sets ROOT to it
#   need_engine_root SUITE   the same with Docker and Podman of that Debian; experimental: testing with a newer Podman
#   enter ROOT LAYER [OPTION…] -- CMD…
#                            becomes CMD, for which ROOT is /, in new namespaces: of mounts, and those of unshare's OPTIONs. What it writes
#                            goes to the folder LAYER, so that ROOT stays as it is. The folder $work has the same path there
#
# By pivot_root in a mount namespace, and never by chroot: out of that one, `docker exec` lands in this machine's own root.

ROOT=

need_root() {
    local tarball
    tarball=$(tarball_of "$1")
    [ -s "$tarball" ] || make_tarball "$1" "$tarball" || return 1
    ROOT=$LACE_SSH_TEST_CACHE/roots-$IMAGE_RECIPE/$1
    [ ! -d "$ROOT" ] || return 0
    rm -rf --one-file-system "$ROOT.new"
    mkdir -p "$ROOT.new" && tar -C "$ROOT.new" -xzf "$tarball" && mv "$ROOT.new" "$ROOT"
}

need_engine_root() {
    local suite=$1 base=$1 root release=() line=
    local packages=(docker.io podman runc crun netavark aardvark-dns iptables nftables iproute2)
    # It has its docker command in the same package.
    [ "$suite" = bookworm ] || packages+=(docker-cli)
    [ "$suite" != experimental ] || base=testing
    need_root "$base" || return 1
    if [ "$suite" = experimental ]; then
        line=$(sed -n 's/ testing / experimental /p' "$ROOT/etc/apt/sources.list")
        release=(-t experimental)
    fi
    root=$LACE_SSH_TEST_CACHE/roots-$IMAGE_RECIPE/engines-$suite
    if [ ! -d "$root" ]; then
        engine_say "making a root folder of Debian $suite with engines (some minutes)"
        rm -rf --one-file-system "$root.new"
        cp -a "$ROOT" "$root.new" && echo "$line" >>"$root.new/etc/apt/sources.list" || return 1
        # Nothing is to start there.
        printf '#!/bin/sh\nexit 101\n' >"$root.new/usr/sbin/policy-rc.d" && chmod +x "$root.new/usr/sbin/policy-rc.d"
        cp -L /etc/resolv.conf "$root.new/etc/resolv.conf"
        in_root "$root.new" apt-get update && in_root "$root.new" apt-get install --no-install-recommends "${release[@]}" "${packages[@]}" &&
            in_root "$root.new" apt-get clean || return 1
        rm -f "$root.new/etc/resolv.conf"
        mv "$root.new" "$root"
    fi
    ROOT=$root
}

# Runs apt-get of the root folder $1, quietly, unless it fails.
in_root() {
    local root=$1 out
    shift 2
    out=$(DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -y -q -o Acquire::Retries=3 -o Acquire::Check-Valid-Until=false "$@" 2>&1 </dev/null) && return
    engine_say "$out"
    engine_say "apt-get $1 failed in $root"
    return 1
}

# shellcheck disable=SC2016 # for the inner shell
ENTER='
    root=$1 layer=$2 work=$3
    shift 3
    mkdir -p "$layer/upper" "$layer/work" "$layer/root" "$layer/run" "$layer/var"
    mount -t overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root"
    root=$layer/root
    mkdir -p "$root$work" "$root/old"
    mount --bind "$work" "$root$work"
    # An engine keeps its images where no overlay is, and its sockets where they are seen from outside.
    mount --bind "$layer/run" "$root/run"
    for it in docker containers; do mkdir -p "$layer/var/$it" "$root/var/lib/$it" && mount --bind "$layer/var/$it" "$root/var/lib/$it"; done
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    # Podman keeps its locks there.
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    if [ "${CGROUP2-}" ]; then mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"; else mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"; fi
    cd "$root"
    pivot_root . old
    umount -l /old
    cd /
    exec "$@"
'

enter() {
    local root=$1 layer=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    # In a session of its own: Ctrl-C is for the script, which then ends it.
    # shellcheck disable=SC2154 # the caller's
    exec setsid unshare --mount --propagation private "${options[@]}" sh -euc "$ENTER" sh "$root" "$layer" "$work" "$@"
}
