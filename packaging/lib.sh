# shellcheck shell=bash
# What the scripts of this folder share. To be sourced under `set -euo pipefail`. Sets ROOT to the folder of the crate and
# VERSION to its version, and everything by which the same source could come out as other bytes elsewhere.
#
#   field NAME                     prints what Cargo.toml says of the crate
#   wrap BINARIES FOLDER           begins a script that wraps what binaries.sh has built: sets BINARIES and OUTPUT to these folders, and
#                                  WORK to one that goes with the script; fails where a binary is missing
#   put_documents FOLDER           writes manual pages to FOLDER/man and completions to FOLDER/completions
#   pack FILE FOLDER NAME…         a .tar.gz of what is named in the folder, in which owners, dates and order are always the same
#   need_builder                   a root folder of Debian with the compilers, in the cache; sets BUILDER to its path
#   vendor FOLDER                  puts all crates that ours is built of below the folder, for `in_builder`
#   in_builder SOURCE WORK SCRIPT  runs the script there as root, with no network; the folders are /source, which is read-only,
#                                  and /work, wherever they are here
#
# SOURCE_DATE_EPOCH      the date of all files; default: that of the last commit
# LACE_SSH_TEST_CACHE    as in tests/engine.sh
# LACE_SSH_TEST_MIRROR   where Debian comes from, as there; with a snapshot of the day that BUILDINFO names, the compilers of then

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/engine.sh
source "$ROOT/tests/engine.sh"

field() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$ROOT/Cargo.toml" | head -n 1; }

# shellcheck disable=SC2034 # for the caller
VERSION=$(field version)
ARCHITECTURES=(x86_64 aarch64)
BINARIES=
OUTPUT=
WORK=
BUILDER=

umask 022
export TZ=UTC LC_ALL=C
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory='*' -C "$ROOT" log -1 --format=%ct)}

wrap() {
    local architecture
    if [ $# != 2 ]; then
        engine_say "usage: ${0##*/} BINARIES FOLDER"
        exit 2
    fi
    for architecture in "${ARCHITECTURES[@]}"; do
        if [ ! -x "$1/lace-ssh-$architecture" ]; then
            engine_say "$1 has no lace-ssh-$architecture; to make it: $ROOT/packaging/binaries.sh $1"
            exit 1
        fi
    done
    BINARIES=$(realpath "$1")
    OUTPUT=$(realpath -m "$2")
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    mkdir -p "$OUTPUT"
}

# By the binary that runs here: they are the same for all.
put_documents() {
    local ours
    ours=$BINARIES/lace-ssh-$(uname -m)
    mkdir -p "$1/completions"
    "$ours" man --output "$1/man" 2>/dev/null &&
        "$ours" completions bash >"$1/completions/lace-ssh" &&
        "$ours" completions zsh >"$1/completions/_lace-ssh" &&
        "$ours" completions fish >"$1/completions/lace-ssh.fish" && return
    engine_say "$ours cannot write its manual pages and completions"
    return 1
}

pack() {
    local file=$1 folder=$2
    shift 2
    tar -C "$folder" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX -c "$@" | gzip -9n >"$file"
}

# libfaketime is for reproduce.sh. arm64's compiler is one for this machine that makes code for that; its standard library is arm64's own package.
need_builder() {
    local mirror proxy packages new
    packages="cargo rustc libstd-rust-dev:arm64 gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross libfaketime"
    need_commands debootstrap || return 1
    if [ "$(dpkg --print-architecture)" != amd64 ]; then
        engine_say "the binaries are built on x86-64 only; this is $(uname -m)"
        return 1
    fi
    mirror=${LACE_SSH_TEST_MIRROR:-$(debian_mirror sid)}
    BUILDER=$LACE_SSH_TEST_CACHE/builder-$(cksum <<<"$mirror $packages" | cut -d ' ' -f 1)
    [ ! -d "$BUILDER" ] || return 0
    mkdir -p "$LACE_SSH_TEST_CACHE"
    new=$(as_root mktemp -d "$LACE_SSH_TEST_CACHE/new.XXXXXX") && as_root chmod 755 "$new" || return 1
    proxy=$(apt_proxy)
    engine_say "making a root folder of Debian sid with debootstrap from $mirror (a few minutes)"
    # shellcheck disable=SC2016,SC2086 # $… are for the inner shell; one word each
    if as_root env ${proxy:+http_proxy="$proxy"} debootstrap --variant=minbase sid "$new" "$mirror" 2>&1 </dev/null | progress &&
        as_root chroot "$new" env -i PATH="$PATH" DEBIAN_FRONTEND=noninteractive ${proxy:+http_proxy="$proxy"} sh -euc '
            printf "Acquire::Check-Valid-Until \"false\";\nAcquire::Retries \"3\";\n" >/etc/apt/apt.conf.d/80builder
            dpkg --add-architecture arm64
            apt-get -q update && apt-get -q -y install --no-install-recommends "$@" || exit 1
            { sed -n "s/^Date: /Debian sid of /p" /var/lib/apt/lists/*InRelease | head -n 1
              dpkg-query -W -f "\${binary:Package} \${Version}\n" | sort; } >/etc/builder
            rm -rf /var/lib/apt/lists/*_* /var/cache/apt/archives/*.deb
            mkdir /source /work
        ' sh $packages >"$LACE_SSH_TEST_CACHE/builder.log" 2>&1 </dev/null; then
        as_root mv "$new" "$BUILDER"
    else
        as_root rm -rf --one-file-system "$new"
        engine_say "no compilers could be installed: $(tail -n 1 "$LACE_SSH_TEST_CACHE/builder.log")"
        return 1
    fi
}

vendor() {
    need_cargo || return 1
    mkdir -p "$1/.cargo"
    cargo vendor -q --locked --versioned-dirs --manifest-path "$ROOT/Cargo.toml" "$1/vendor" >/dev/null || return 1
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "/work/vendor"\n' >"$1/.cargo/config.toml"
}

# A false date, if this has one (`faketime`), is the builder's, too.
in_builder() {
    # shellcheck disable=SC2016 # $1 is for the inner shell
    as_root unshare --mount --net --pid --fork --kill-child sh -euc '
        root=$1
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$2" "$root/source"
        mount -o remount,bind,ro "$root/source"
        mount --bind "$3" "$root/work"
        script=$4
        shift 4
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/work "$@" bash -euo pipefail -c "$script"
    ' sh "$BUILDER" "$1" "$2" "$3" TZ=UTC LC_ALL=C SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
        ${LD_PRELOAD+"LD_PRELOAD=$LD_PRELOAD"} ${FAKETIME+"FAKETIME=$FAKETIME"}
}
