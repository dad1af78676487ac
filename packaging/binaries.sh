#!/usr/bin/env bash
# Builds the static binaries for Linux, which every other script here wraps. Both are built in the same root folder of Debian sid:
# there the compilers, the C library and every path are the same, whoever builds and wherever.
#
# usage: binaries.sh FOLDER     makes FOLDER/lace-ssh-x86_64, FOLDER/lace-ssh-aarch64; FOLDER/BUILDINFO, which says by what,
#                               and FOLDER/THIRD-PARTY, the licenses of what is in them
#
# Needs an x86-64 Debian or a relative, Rust (to get the crates), and root or sudo (to enter the root folder).
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# = 1 ] || { engine_say "usage: binaries.sh FOLDER"; exit 2; }
output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'as_root rm -rf --one-file-system "$work"' EXIT

# licenses VENDOR: those of all crates that the binaries are made of. Whoever may choose takes the MIT license.
licenses() {
    local crate version license folder file found
    printf 'lace-ssh for Linux has in it the crates below, the standard library of Rust (MIT OR Apache-2.0), and parts of the\n'
    printf 'GNU C library (LGPL-2.1-or-later) and of GCC (GPL-3.0-or-later WITH GCC-exception-3.1), as Debian has them: see BUILDINFO.\n'
    # Without the false clock of reproduce.sh, in which rustc may hang before it begins: nothing here has a date.
    env -u LD_PRELOAD cargo tree --locked --offline --manifest-path "$ROOT/Cargo.toml" --edges normal --prefix none --no-dedupe --format '{p} {l}' \
        --target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu >"$work/tree"
    sort -u "$work/tree" | while read -r crate version license; do
        folder=$1/$crate-${version#v}
        license=${license#(proc-macro) }
        [ -d "$folder" ] || continue
        printf '\n\n==== %s %s: %s\n' "$crate" "${version#v}" "$license"
        found=
        for file in "$folder"/{LICENSE-MIT*,LICENSE,LICENSE.*,LICENSE-[BUT]*,COPYING,LICENSE-APACHE}; do
            [ -f "$file" ] || continue
            # The others are for whoever does not choose.
            case ${file##*/} in LICENSE-APACHE | COPYING) [ -z "$found" ] || continue ;; esac
            printf '\n'
            cat "$file"
            found=1
        done
        [ "$found" ] || printf '\n(no text is in the crate)\n'
    done
}

need_builder
vendor "$work"
# Smaller by a hundred kilobytes: addresses are relocated by a shorter list.
# shellcheck disable=SC2016 # for the inner shell
in_builder "$ROOT" "$work" '
    export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    cargo build --release --frozen --manifest-path /source/Cargo.toml --target-dir /work/target --bin lace-ssh \
        --target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu
'
mkdir -p "$output"
for architecture in "${ARCHITECTURES[@]}"; do
    install -m 0755 "$work/target/$architecture-unknown-linux-gnu/release/lace-ssh" "$output/lace-ssh-$architecture"
done
licenses "$work/vendor" >"$output/THIRD-PARTY"
{
    echo "lace-ssh $VERSION, SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"
    cat "$BUILDER/etc/builder"
} >"$output/BUILDINFO"
