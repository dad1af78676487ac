#!/usr/bin/env bash
# Makes the picture of `lace-ssh status` in README.md anew, from what it really prints at a terminal of 80 columns: some dev
# containers are made, each in another state, and taken away again. Only a temporary HOME is used.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/engine.sh
source "$root/tests/engine.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/picture.XXXXXX")

clean_up() {
    set +e
    docker rm -f -v "${containers[@]}" >/dev/null 2>&1
    remove_leftovers
    stop_engine
    as_root rm -rf "$work"
}
trap clean_up EXIT
containers=()

# project NAME CONFIG: makes one; `up` makes its container.
project() {
    mkdir -p "$work/$1/.devcontainer"
    printf '{ "image": "lace-ssh-test:base", "remoteUser": "vscode"%s }\n' "$2" >"$work/$1/.devcontainer/devcontainer.json"
}

up() {
    devcontainer up --workspace-folder "$work/$1" >"$work/up.log" 2>&1 || { cat "$work/up.log"; return 1; }
    containers+=("$(docker ps -q --filter "label=devcontainer.local_folder=$work/$1")")
}

wired() {
    project "$@"
    lace-ssh setup --yes --no-client-config --workspace-folder "$work/$1" >/dev/null 2>&1
    up "$1"
}

options() { printf ', "customizations": { "lace": { "ssh": { %s } } }' "$1"; }

need_binary
need_commands python3 ssh script
start_engine
need_devcontainer
need_image base
note_images "$work"
if [ -d "$HOME/.docker" ]; then export DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}; fi
PATH=${BINARY%/*}:${DEVCONTAINER%/*}:$PATH
unset LACE_SSH_HOME SSH_AUTH_SOCK
export HOME=$work/home
mkdir "$HOME"

wired web-shop "$(options '"rotate": "30d"')"
wired billing "$(options '"auth": "certificate"')"
wired search ', "runArgs": ["--network=none"]'
wired docs ''
docker stop -t 1 "${containers[3]}" >/dev/null
rm "$work/docs/.devcontainer/devcontainer.json"
project blog ''
up blog
# Each is known by its user once somebody has logged in.
for alias in web-shop billing search; do lace-ssh connect "lace-$alias" -- true; done
mkdir -p "$root/docs"
script -qec 'stty cols 80 rows 24; lace-ssh status' /dev/null </dev/null | tr -d '\r' | sed "s|$work|/home/me|g" |
    python3 "$root/tests/picture.py" 'lace-ssh status' >"$root/docs/status.svg"
echo "made docs/status.svg"
