#!/bin/sh
# Who keeps what: this editor, npm's jsonc-parser and jsonc-parser's CST do the same edit on 50
# documents; prints the table of the README.
set -eu
cd "$(dirname "$0")/../.."
cache=${LACE_SSH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lace-ssh-tests}/node
mkdir -p "$cache"
[ -d "$cache/node_modules/jsonc-parser" ] ||
    npm install --prefix "$cache" --no-fund --no-audit --loglevel=error jsonc-parser@3.3.1
target=${CARGO_TARGET_DIR:-target}/compare
cargo build --quiet --manifest-path tests/compare/cst/Cargo.toml --target-dir "$target"
exec node tests/compare/compare.mjs "$cache/node_modules" "$target/debug/compare-cst" "$@"
