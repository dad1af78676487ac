#!/usr/bin/env bash
# The Feature with the binaries for both architectures in it, of which install.sh takes the one of `uname -m`. The archive is
# what a registry, or the address of a file, gives to `devcontainer up`; unpacked, it is a Feature that a project can have as its own.
#
# usage: feature.sh BINARIES FOLDER     makes FOLDER/devcontainer-feature-lace-ssh.tgz
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
wrap "$@"

# A binary of another build may lie in the source, under the name that .gitignore has.
for file in "$ROOT"/feature/src/lace-ssh/*; do
    [ "${file##*/}" = lace-ssh ] || cp "$file" "$WORK"
done
for architecture in "${ARCHITECTURES[@]}"; do
    install -m 0755 "$BINARIES/lace-ssh-$architecture" "$WORK/"
done
pack "$OUTPUT/devcontainer-feature-lace-ssh.tgz" "$WORK" .
