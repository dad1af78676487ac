#!/usr/bin/env bash
# Makes all packages twice, as two people would: in other folders, with another umask, time zone, locale and date. Fails unless each file is the
# same to the byte.
#
# usage: reproduce.sh FOLDER     keeps the first ones in FOLDER
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
[ $# = 1 ] || { engine_say "usage: reproduce.sh FOLDER"; exit 2; }
output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_commands faketime git
unset SOURCE_DATE_EPOCH
git -c safe.directory='*' clone -q "$ROOT" "$work/one"
"$work/one/packaging/all.sh" "$output"

# What the first has downloaded is in caches now; no server's certificate is good at the other date.
other="$work/another folder, with blanks"
(
    umask 077
    git -c safe.directory='*' clone -q "$ROOT" "$other"
    TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 CARGO_NET_OFFLINE=true NO_FAKE_STAT=1 \
        faketime '2031-07-04 03:02:01' "$other/packaging/all.sh" "$work/two"
)
diff "$output/SHA256SUMS" "$work/two/SHA256SUMS" >&2 || { engine_say "not the same in another folder"; exit 1; }
echo "$(wc -l <"$output/SHA256SUMS") files, the same to the byte in both"
