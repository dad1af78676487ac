#!/usr/bin/env bash
# The binaries as archives, with manual pages and completions: for `cargo binstall`, and for whoever has no package manager.
#
# usage: archive.sh BINARIES FOLDER     makes FOLDER/lace-ssh-x86_64-unknown-linux-gnu.tar.gz and that of aarch64
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
wrap "$@"

for architecture in "${ARCHITECTURES[@]}"; do
    name=lace-ssh-$architecture-unknown-linux-gnu
    put_documents "$WORK/$name"
    install -m 0644 "$ROOT/LICENSE" "$ROOT/README.md" "$ROOT/CHANGELOG.md" "$BINARIES/THIRD-PARTY" "$WORK/$name/"
    install -m 0755 "$BINARIES/lace-ssh-$architecture" "$WORK/$name/lace-ssh"
    pack "$OUTPUT/$name.tar.gz" "$WORK" "$name"
done
