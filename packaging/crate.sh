#!/usr/bin/env bash
# The crate, as crates.io gets it. That it builds is for `cargo publish` to see, and for test.sh.
#
# usage: crate.sh FOLDER     makes FOLDER/lace-ssh-VERSION.crate
#
# Refuses what is not committed, as `cargo publish` does.
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# = 1 ] || { engine_say "usage: crate.sh FOLDER"; exit 2; }
output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_cargo
cargo package --quiet --locked --no-verify --manifest-path "$ROOT/Cargo.toml" --target-dir "$work"
install -D -m 0644 -t "$output" "$work/package/lace-ssh-$VERSION.crate"
