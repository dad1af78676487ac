#!/usr/bin/env bash
# Packages the Feature for a registry, with the static binary in it.
#
# usage: package.sh FOLDER      makes FOLDER/devcontainer-feature-lace-ssh.tgz
set -euo pipefail

output=$(realpath -m "$1")
feature=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/engine.sh
source "$feature/../tests/engine.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_binary
need_devcontainer
# In a copy: a binary of another build may lie in the source.
cp -R "$feature/src" "$work"
cp "$BINARY" "$work/src/lace-ssh/lace-ssh"
"$DEVCONTAINER" features package "$work/src" --output-folder "$output"
