#!/usr/bin/env bash
# From an untouched project to `ssh lace-web-shop` and back, on a bare Debian machine with Rust, as root or with sudo.
# Installs what is missing, starts an engine if none answers, and cleans up. Only a temporary HOME is used.
# Where no engine can run it shows what works without one, and exits with 1.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
# Talk and data in one stream, in order.
exec 2>&1
# shellcheck source=tests/engine.sh
source "$root/tests/engine.sh"

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX")

clean_up() {
    set +e
    remove_leftovers
    stop_engine
    as_root rm -rf "$work"
}
trap clean_up EXIT

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

# run COMMAND-LINE: shows it, then runs it in this shell.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1"
}

prepare_engine() {
    start_engine && need_commands ssh && need_devcontainer && need_image base && note_images "$work"
}

# One line for each thing that `devcontainer up` does.
brief() {
    sed -u -nE 's/^\[[^]]*\] //
        /^(Start: Run: )?docker (build|run) / { s/^Start: Run: //; s/^(docker [a-z]+) .*/\1 …/p }
        /^Step [0-9/]+ : RUN |^#[0-9]+ \[|^Running |^lace-ssh: |^Container started|"outcome"/ { s/^(.{96}).+/\1…/; p }'
}

# Shows progress, and if it fails, everything.
up() {
    # shellcheck disable=SC2016 # `run` expands it
    if ! run 'devcontainer up --workspace-folder . 2>&1 | tee "$HOME/up.log" | brief'; then
        cat "$HOME/up.log"
        return 1
    fi
}

# The project, a home folder that is not the real one, and `lace-ssh` and `devcontainer` on the PATH.
enter_project() {
    cp -R "$root/fixtures/project" "$work/web-shop"
    mkdir "$work/home"
    if [ -d "$HOME/.docker" ]; then export DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}; fi
    export HOME=$work/home PATH=${BINARY%/*}:${DEVCONTAINER:+${DEVCONTAINER%/*}:}$PATH
    unset LACE_SSH_HOME
    cd "$work/web-shop"
    cp .devcontainer/devcontainer.json "$work/before.json"
}

wire() {
    heading "wire a project that somebody wrote by hand"
    run 'lace-ssh setup --yes'
}

unwire() {
    heading "take it all back"
    run 'lace-ssh remove --yes --purge'
    cmp .devcontainer/devcontainer.json "$work/before.json"
    echo "devcontainer.json is what it was, byte for byte"
}

whole_story() {
    wire
    heading "make the container"
    up
    heading "log in"
    echo "# HOME is a temporary folder here; ssh would read the real ~/.ssh/config"
    run "ssh() { command ssh -F \"\$HOME/.ssh/config\" \"\$@\"; }"
    run "ssh lace-web-shop 'echo \"\$USER in \$(hostname), SHOP_ENV=\$SHOP_ENV\"'"
    run 'lace-ssh port'
    heading "restart the container: the published port changes, the command does not"
    run "docker restart $(docker ps -q --filter "label=devcontainer.local_folder=$PWD")"
    run 'lace-ssh port'
    run "ssh lace-web-shop 'echo \"\$USER again\"'"
    heading "at a glance"
    run 'lace-ssh status'
    unwire
}

# A dev container ID of the right shape; the devcontainer CLI makes it from the path of the project.
short_story() {
    wire
    heading "what initializeCommand does on the host, before there is a container"
    run "lace-ssh initialize --id $(printf '%052d' 1)"
    run 'lace-ssh client-config'
    unwire
}

heading "build lace-ssh"
need_binary
heading "the engine, the devcontainer CLI and a base image"
if prepare_engine; then
    docker version --format 'engine {{ .Server.Version }}'
    enter_project
    whole_story
else
    echo "there will be no container, so this shows what works without one"
    enter_project
    short_story
    heading "not shown: devcontainer up, ssh, status; no engine can be used here (the reason is above)"
    exit 1
fi
