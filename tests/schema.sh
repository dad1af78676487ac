#!/usr/bin/env bash
# Whether the JSON Schema of the settings says what lace-ssh does, by the judgement of npm's ajv: see schema.mjs.
#
# usage: schema.sh
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=tests/engine.sh
source tests/engine.sh
need_ajv
ajv=$NODE_MODULES
need_jsonc_parser
need_binary
node tests/schema.mjs "$ajv" "$NODE_MODULES" "$BINARY"
