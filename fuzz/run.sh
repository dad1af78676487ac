#!/bin/sh
# Fuzzes one target: fuzz/run.sh [SECONDS] [TARGET]. Without a target, the editor. The corpus of that is seeded from the
# fixtures, that of `authorized_keys` (keys and commands of others) from a line or two.
#
# Needs cargo-fuzz (`cargo install cargo-fuzz`). RUSTC_BOOTSTRAP lets the stable compiler do it.
set -eu
cd "$(dirname "$0")/.."
target=${2:-editor}
corpus=fuzz/corpus/$target
mkdir -p "$corpus"
case $target in
editor)
    for file in fixtures/devcontainer/*/before.jsonc fixtures/devcontainer/*/after.jsonc; do
        case=$(basename "$(dirname "$file")")
        # The target takes its first byte as the choice of the port.
        { printf '0'; cat "$file"; } >"$corpus/$case-$(basename "$file" .jsonc)"
    done
    ;;
authorized_keys)
    key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKkrPdSEkDdRBqzPz7YzlT8BGCHLs4ETkQ5Ii0I4QZ me'
    printf '1# a key\n%s\n\0git -C "/a b" pull \\"x\\"' "$key" >"$corpus/key"
    printf '0command="x",no-pty %s\0\\"",pty' "$key" >"$corpus/options"
    ;;
esac
RUSTC_BOOTSTRAP=1 exec cargo fuzz run "$target" "$corpus" -- \
    -max_total_time="${1:-300}" -max_len=4096 -timeout=10
