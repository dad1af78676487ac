#!/usr/bin/env bash
# Other readers of devcontainer.json must read our output as we meant it: npm's jsonc-parser (which VS Code uses) and the
# devcontainer CLI read every after.jsonc of the fixtures; differential.mjs compares.
#
# usage: differential.sh [CASE…]; the CLI looks for containers as it reads, so it needs an engine
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=tests/engine.sh
source tests/engine.sh
trap stop_engine EXIT
start_engine
need_devcontainer
need_jsonc_parser
node tests/differential.mjs "$NODE_MODULES" "$DEVCONTAINER" "$@"
