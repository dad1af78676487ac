#!/bin/sh
# Fuzzes one target: fuzz/run.sh [SECONDS] [TARGET]. Without a target, the editor. The corpus of that is seeded from the
# fixtures, that of `authorized_keys` (keys and commands of others) from a line or two, that of `certificates` from what
# ssh-keygen signs.
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
certificates)
    folder=$(mktemp -d)
    ssh-keygen -q -t ed25519 -N '' -f "$folder/ca"
    kind=0
    for name in ed25519 rsa ecdsa; do
        ssh-keygen -q -t "$name" -N '' -f "$folder/$name"
        for options in '-n lace-x' '-h' '-n a,b -O clear -O force-command=x'; do
            # shellcheck disable=SC2086 # to be split
            ssh-keygen -q -s "$folder/ca" -I me $options "$folder/$name.pub"
            seed=$corpus/$name-$(printf %s "$options" | tr -c 'a-z\n' -)
            { printf '~'; cat "$folder/$name-cert.pub"; } >"$seed-line"
            { printf '%b' "\\0$kind"; cut -d ' ' -f 2 "$folder/$name-cert.pub" | base64 -d; } >"$seed-bytes"
        done
        kind=$((kind + 1))
    done
    printf '\004' >"$corpus/signed"
    rm -r "$folder"
    ;;
esac
RUSTC_BOOTSTRAP=1 exec cargo fuzz run "$target" "$corpus" -- \
    -max_total_time="${1:-300}" -max_len=4096 -timeout=10
