#!/usr/bin/env bash
# Every package of this version, and the sums of all.
#
# usage: all.sh FOLDER     fills FOLDER, which must be empty or not there
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# = 1 ] || { engine_say "usage: all.sh FOLDER"; exit 2; }
output=$(realpath -m "$1")
here=$ROOT/packaging
if [ -n "$(ls -A "$output" 2>/dev/null)" ]; then
    engine_say "$output is not empty"
    exit 1
fi
if [ -n "$(git -c safe.directory='*' -C "$ROOT" status --porcelain)" ]; then
    engine_say "$ROOT has changes that are not committed: packages are made of a commit"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$here/binaries.sh" "$work"
for channel in archive deb npm wheel feature; do
    "$here/$channel.sh" "$work" "$output"
done
"$here/crate.sh" "$output"
need_cargo
# These have a say in the bytes, too.
{
    cat "$work/BUILDINFO"
    echo "packed by $(cargo --version), npm $(npm --version), node $(node --version), $(python3 --version), $(tar --version | head -n 1), $(gzip --version | head -n 1)"
} >"$output/BUILDINFO"
cd "$output"
sha256sum -- * >"$work/sums"
install -m 0644 "$work/sums" SHA256SUMS
