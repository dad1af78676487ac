#!/usr/bin/env bash
# Who keeps what: this editor, npm's jsonc-parser and jsonc-parser's CST do the same edit on 50 documents; prints the
# table of docs/how-it-works.md.
set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source=tests/engine.sh
source tests/engine.sh
need_cargo
need_jsonc_parser
target=${CARGO_TARGET_DIR:-target}/compare
cargo build --quiet --locked --manifest-path tests/compare/cst/Cargo.toml --target-dir "$target"
exec node tests/compare/compare.mjs "$NODE_MODULES" "$target/debug/compare-cst" "$@"
