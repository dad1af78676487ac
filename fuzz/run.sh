#!/bin/sh
# Fuzzes the editor: fuzz/run.sh [SECONDS]. The corpus is seeded from the fixtures.
#
# Needs cargo-fuzz (`cargo install cargo-fuzz`). RUSTC_BOOTSTRAP lets the stable compiler do it.
set -eu
cd "$(dirname "$0")/.."
corpus=fuzz/corpus/editor
mkdir -p "$corpus"
for file in fixtures/devcontainer/*/before.jsonc fixtures/devcontainer/*/after.jsonc; do
    case=$(basename "$(dirname "$file")")
    # The target takes its first byte as the choice of the port.
    { printf '0'; cat "$file"; } >"$corpus/$case-$(basename "$file" .jsonc)"
done
RUSTC_BOOTSTRAP=1 exec cargo fuzz run editor "$corpus" -- \
    -max_total_time="${1:-300}" -max_len=4096 -timeout=10
