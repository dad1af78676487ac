#!/usr/bin/env bash
# Installs one package in an empty root, without a network, and tries what it has brought. Run by test.sh, in containers and in the builder; it
# ends at the first check that fails.
#
# usage: inside.sh CHANNEL PACKAGES VERSION     CHANNEL is archive, deb, npm, wheel, crate or feature; with :aarch64, under qemu
# shellcheck disable=SC2317,SC2329 # functions that are called by name
set -euo pipefail

packages=$2
version=$3
channel=${1%:*}
architecture=x86_64
[[ $1 != *:aarch64 ]] || architecture=aarch64
HOME=$(mktemp -d)
export HOME
cd "$HOME"

main() {
    "install_$channel"
    # For completions, too, which call the command by its name.
    if [ "$architecture" = aarch64 ]; then
        lace-ssh() { qemu-aarch64-static "$(type -P lace-ssh)" "$@"; }
    fi
    check "lace-ssh --version" check_version
    check "lace-ssh setup --dry-run" check_setup
    check "completions" check_completions
    case $channel in
    archive | deb | wheel | npm) check "man lace-ssh" check_man ;;
    esac
    if [ "$(type -t "more_$channel")" = function ]; then "more_$channel"; fi
}

check() {
    local code title=$1
    shift
    # Not as a condition: `set -e` would do nothing below it.
    set +e
    (
        set -e
        "$@"
    ) >"$HOME/said" 2>&1
    code=$?
    set -e
    if [ "$code" != 0 ]; then
        cat "$HOME/said"
        echo "FAILED: $title"
        exit 1
    fi
    echo "ok: $title"
}

install_archive() {
    local name=lace-ssh-$architecture-unknown-linux-gnu
    tar -xzf "$packages/$name.tar.gz"
    mkdir -p .local/bin .local/share/man/man1
    cp "$name/lace-ssh" .local/bin/
    cp "$name"/man/* .local/share/man/man1/
    PATH=$HOME/.local/bin:$PATH
}

# What it needs from other packages is there; of another architecture, dpkg has to be told that it may be.
install_deb() {
    local start file=$packages/lace-ssh_$version-1_amd64.deb
    if [ "$architecture" = aarch64 ]; then
        file=${file%amd64.deb}arm64.deb
        dpkg --add-architecture arm64
        dpkg -i "$file" >/dev/null
        return
    fi
    start=$(date +%s%N)
    dpkg -i "$file" >/dev/null
    lace-ssh --version >/dev/null
    echo "from dpkg -i to the first --version: $((($(date +%s%N) - start) / 1000000)) ms"
}

install_npm() {
    if [ "$architecture" = aarch64 ]; then
        tar -xzf "$packages/lace-ssh-linux-arm64-$version.tgz"
        PATH=$HOME/package:$PATH
        return
    fi
    # Globally, where npm also puts the manual pages.
    npm install --silent --global --offline "$packages/lace-ssh-$version.tgz" "$packages/lace-ssh-linux-x64-$version.tgz"
    hash -r
}

install_wheel() {
    python3 -m venv venv
    PATH=$HOME/venv/bin:$PATH
    if [ "$architecture" = aarch64 ]; then
        pip install -q --no-index --find-links "$packages" --only-binary :all: --platform manylinux2014_aarch64 --target t lace-ssh
        PATH=$HOME/t/bin:$PATH
        export MANPATH=$HOME/t/share/man:
    else
        # Of the two, pip takes the one that is for this machine.
        pip install -q --no-index --find-links "$packages" lace-ssh
    fi
    hash -r
}

# In the builder, with the crates beside it that it needs.
install_crate() {
    local start=$SECONDS
    tar -xzf "$packages/lace-ssh-$version.crate"
    CARGO_HOME=/work/.cargo cargo install -q --locked --offline --path "lace-ssh-$version" --root "$HOME" 2>&1
    PATH=$HOME/bin:$PATH
    echo "cargo install, cold: $((SECONDS - start)) s; $(stat -c %s bin/lace-ssh) bytes"
}

# `devcontainer up` has installed it, and ssh has brought us here: what answers must be the binary, no script in its place.
install_feature() { [ ! -L "$(type -P lace-ssh)" ]; }

check_version() { [ "$(lace-ssh --version)" = "lace-ssh $version" ]; }

check_setup() {
    local file=project/.devcontainer/devcontainer.json
    mkdir -p project/.devcontainer
    echo '{ "image": "debian" }' >$file
    lace-ssh setup --dry-run --workspace-folder project >changes
    grep -q '^+{ "image": "debian", "features": { "./lace-ssh": {} }' changes
    grep -q 'install.sh' changes
    [ "$(cat $file)" = '{ "image": "debian" }' ]
    [ "$(ls -A project/.devcontainer)" = devcontainer.json ]
}

check_completions() {
    local shell
    for shell in bash zsh fish; do lace-ssh completions "$shell" >"script.$shell"; done
    # Those that a package brings are the same.
    case $channel in
    deb)
        cmp script.bash /usr/share/bash-completion/completions/lace-ssh
        cmp script.zsh /usr/share/zsh/vendor-completions/_lace-ssh
        cmp script.fish /usr/share/fish/vendor_completions.d/lace-ssh.fish
        ;;
    archive) cmp script.bash lace-ssh-*/completions/lace-ssh ;;
    esac
    set +u
    # shellcheck disable=SC1091
    source ./script.bash
    complete -p lace-ssh
    # shellcheck disable=SC2034 # for the completion
    COMP_WORDS=(lace-ssh keys rot) COMP_CWORD=2 COMP_TYPE=9
    _clap_complete_lace_ssh lace-ssh rot keys
    [ "${COMPREPLY[0]% }" = rotate ]
}

check_man() {
    [ "$architecture-$channel" != aarch64-npm ] || return 0
    man lace-ssh | grep -q 'lace-ssh-setup\|lace-ssh setup'
    man lace-ssh-keys-rotate | grep -q rotate
}

more_deb() {
    check "copyright" test -s /usr/share/doc/lace-ssh/copyright
    check "gone without a trace" purge
}

purge() {
    dpkg -P lace-ssh >/dev/null
    if find /etc /usr /var/lib -name '*lace-ssh*' | grep .; then return 1; fi
}

more_npm() {
    [ "$architecture" = x86_64 ] || return 0
    check "npm install ./*.tgz, npx" npx_runs_it
    check "ends as the binary does" ends_alike
    check "signals reach the binary" signals
    check "without the binary, what to do" no_binary
}

npx_runs_it() {
    npm uninstall --silent --global lace-ssh @lace-ssh/linux-x64
    mkdir app
    cd app
    cp "$packages/lace-ssh-$version.tgz" "$packages/lace-ssh-linux-x64-$version.tgz" .
    npm init -y >/dev/null
    npm install --silent --offline ./*.tgz
    [ "$(npx --offline lace-ssh --version)" = "lace-ssh $version" ]
    [ ! -e node_modules/@lace-ssh/linux-arm64 ]
}

ends_alike() {
    local launcher=$HOME/app/node_modules/.bin/lace-ssh binary=$HOME/app/node_modules/@lace-ssh/linux-x64/lace-ssh words one two
    for words in "no-such-command" "man no-such-command" "setup --check --workspace-folder $HOME/project" "--help"; do
        one=0 two=0
        # shellcheck disable=SC2086 # one word each
        "$launcher" $words >one 2>&1 </dev/null || one=$?
        # shellcheck disable=SC2086
        "$binary" $words >two 2>&1 </dev/null || two=$?
        cmp one two
        [ "$one" = "$two" ]
    done
    [ "$(echo '*' | "$launcher" man 'a b' '*' 2>&1)" = "$("$binary" man 'a b' '*' 2>&1)" ]
}

signals() {
    local signal code launcher
    for signal in TERM INT HUP; do
        # Job control: else bash has it ignore SIGINT.
        set -m
        "$HOME/app/node_modules/.bin/lace-ssh" listen >said 2>&1 &
        launcher=$!
        set +m
        until grep -q 'no dev container is known' said; do sleep 0.05; done
        code=0
        kill -"$signal" "$launcher"
        wait "$launcher" || code=$?
        [ "$code" = $((128 + $(kill -l "$signal"))) ]
        if pgrep -f 'linux-x64/lace-ssh'; then return 1; fi
    done
}

no_binary() {
    rm -rf "$HOME/app/node_modules/@lace-ssh"
    if "$HOME/app/node_modules/.bin/lace-ssh" --version >said 2>&1; then return 1; fi
    grep -q '^lace-ssh: error: the package @lace-ssh/linux-x64, which has the binary, is not installed$' said
    grep -q '^lace-ssh: hint: install lace-ssh again' said
}

main
