#!/bin/sh
# Other readers of devcontainer.json must read our output as we meant it.
#
# npm's jsonc-parser (which VS Code uses) and the devcontainer CLI read every after.jsonc of the
# fixtures; tests/differential.mjs compares. They are installed into a cache folder, not here.
set -eu
cd "$(dirname "$0")/.."
cache=${LACE_SSH_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lace-ssh-tests}/node
mkdir -p "$cache"
if [ ! -d "$cache/node_modules/@devcontainers/cli" ] || [ ! -d "$cache/node_modules/jsonc-parser" ]; then
    npm install --prefix "$cache" --no-fund --no-audit --loglevel=error \
        jsonc-parser@3.3.1 @devcontainers/cli@0.89.0
fi
exec node tests/differential.mjs "$cache/node_modules" "$@"
