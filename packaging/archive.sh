#!/usr/bin/env bash
# The binaries as archives, with manual pages and completions: for `cargo binstall`, and for whoever has no package manager.
#
# usage: archive.sh BINARIES FOLDER     makes FOLDER/lace-ssh-x86_64-unknown-linux-gnu.tar.gz and that of aarch64
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# = 2 ] || { engine_say "usage: archive.sh BINARIES FOLDER"; exit 2; }
need_binaries "$1"
output=$(realpath -m "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$output"
for architecture in "${ARCHITECTURES[@]}"; do
    name=lace-ssh-$architecture-unknown-linux-gnu
    put_documents "$work/$name"
    install -m 0644 "$ROOT/LICENSE" "$ROOT/README.md" "$ROOT/CHANGELOG.md" "$BINARIES/THIRD-PARTY" "$work/$name/"
    install -m 0755 "$BINARIES/lace-ssh-$architecture" "$work/$name/lace-ssh"
    pack "$output/$name.tar.gz" "$work" "$name"
done
