#!/usr/bin/env bash
# Every test, on a bare Debian machine with Rust, as root or with sudo. Installs what is missing, starts an engine if
# none answers, and fails where none can run. Goes on after a step that fails; the exit code says whether one did.
# Two lanes run side by side, and at last the Feature beside both; more tests than processors run at a time, for much of what
# has an engine is waiting.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=tests/engine.sh
source tests/engine.sh

# Projects, homes and stores of the tests are below this folder, so that nothing of them is left behind.
work=$(mktemp -d)
export TMPDIR=$work
report=$work/report
beside=()

clean_up() {
    local group
    set +e
    for group in "${beside[@]}"; do kill -- "-$group" 2>/dev/null; done
    remove_leftovers
    stop_podman
    stop_engine
    as_root rm -rf "$work"
}

# step TITLE CMD…: what it prints is shown when it has ended, for another step may run beside it.
step() {
    local title=$1 start=$SECONDS code=0 said
    shift
    said=$(mktemp)
    printf -- '-- %s\n' "$title"
    "$@" >"$said" 2>&1 || code=$?
    {
        printf '\n== %s\n' "$title"
        cat "$said"
        note "$code" "$title" "$((SECONDS - start)) s"
    } >"$said.all" 2>&1
    flock "$report" cat "$said.all"
    return "$code"
}

# note CODE TITLE REMARK
note() {
    local verdict=ok
    if [ "$1" != 0 ]; then
        verdict=FAILED
        printf 'FAILED: %s\n' "$2"
    fi
    printf '%-6s  %-36s %6s\n' "$verdict" "$2" "$3" >>"$report"
}

prepare() {
    need_commands git lsof node npm shellcheck strace ssh ssh-agent ssh-keygen sshd openssl busybox mksh age && need_cargo
}

prepare_engine() {
    need_commands systemctl zsh fish && start_engine && need_devcontainer && need_compose && need_clients &&
        need_image base bare nosudo busybox faketime tools bullseye trixie testing && note_images "$work" || return 1
    # Other engines need networks of their own, and nobody but root makes some.
    [ "$(id -u)" != 0 ] || need_podman || return 1
    # shellcheck disable=SC2153 # set by need_devcontainer
    docker version --format 'engine {{ .Server.Version }}' && echo "devcontainer CLI $("$DEVCONTAINER" --version)"
}

# The files of git, and those that it would take in.
our_files() {
    git -c safe.directory='*' ls-files --cached --others --exclude-standard
}

check_scripts() {
    local file line bash=() sh=()
    while read -r file; do
        [ -f "$file" ] || continue
        line=
        IFS= read -r line <"$file" || true
        case $line in
        '#!'*bash | '# shellcheck shell=bash'*) bash+=("$file") ;;
        '#!'*sh) sh+=("$file") ;;
        *) if [[ $file == *.sh ]]; then bash+=("$file"); fi ;;
        esac
    done < <(our_files)
    echo "${#bash[@]} of bash, ${#sh[@]} of sh"
    [ ${#bash[@]} -gt 0 ] && [ ${#sh[@]} -gt 0 ] || return 1
    shellcheck -x -s bash "${bash[@]}" && shellcheck -x -s sh "${sh[@]}"
}

# Also what is built apart from the crate: its lock must know what the crate depends on now.
lint() {
    cargo clippy --locked --all-targets -- -D warnings && cargo tree --locked --manifest-path fuzz/Cargo.toml >/dev/null
}

# Each test that is ignored is run by one of the steps below.
unit_and_command_line() {
    local others
    in_memory cargo test --locked --no-fail-fast || return 1
    others=$(cargo test --quiet --locked -- --ignored --list --skip faults:: --skip e2e::) || return 1
    if grep ': test$' <<<"$others"; then
        echo "these are run by no step"
        return 1
    fi
}

# ignored FILTER…: with the release binary.
ignored() {
    LACE_SSH_TEST_BINARY=$BINARY cargo test --locked --no-fail-fast --test suite -- --ignored "$@"
}

end_to_end() {
    local skip=()
    if [ -z "$PODMAN" ]; then
        echo "what starts engines of its own is left out: it needs root"
        skip=(--skip e2e::engines --skip e2e::outages::an_engine)
    fi
    LACE_SSH_TEST_DEVCONTAINER=$DEVCONTAINER LACE_SSH_TEST_COMPOSE=$COMPOSE LACE_SSH_TEST_PYTHON=$CLIENT_PYTHON LACE_SSH_TEST_PODMAN=$PODMAN \
        LACE_SSH_TEST_NODE_PATH=$CLIENT_NODE_PATH LACE_SSH_TEST_BAO=$CLIENT_BAO LACE_SSH_TEST_DEVCONTAINER_RS=$CLIENT_DEVCONTAINER ignored e2e:: "${skip[@]}" \
        --test-threads $((2 * $(nproc)))
}

# Killed, and refused by the disk, at every system call that matters; then thirty at once, killed at random.
faults() {
    local code=0
    in_memory ignored faults:: --skip faults::containers:: --skip faults::crowd:: || code=$?
    in_memory ignored faults::crowd:: || code=$?
    return "$code"
}

faults_with_engine() {
    in_memory ignored faults::containers::
}

# Thousands of small files are made and flushed: in memory, where that can be.
in_memory() {
    local folder code=0
    folder=$(memory_folder) || folder=$(mktemp -d)
    TMPDIR=$folder "$@" || code=$?
    rm -rf "$folder"
    return "$code"
}

# Two lanes. What a step sets, the next ones of its lane need: they are all in this shell.

files_and_faults() {
    step "unit and command line" unit_and_command_line || :
    step "release binary" need_binary || :
    step "schema" tests/schema.sh || :
    step "faults" faults || :
    # By now the other lane has an engine, or has said that there is none.
    step "faults, with containers" faults_with_engine || :
}

dev_containers() {
    local engine=yes
    step "engine, devcontainer CLI, images" prepare_engine || engine=
    if [ "$engine" ]; then
        step "other readers of devcontainer.json" tests/differential.sh || :
    else
        note 1 "other readers of devcontainer.json" "not run"
    fi
    # Builds nothing a second time: it waits for the other lane.
    if [ "$engine" ] && need_binary; then
        set -m
        step "Feature" feature/test/run.sh "$DEVCONTAINER" </dev/null &
        beside+=($!)
        set +m
        step "clippy" lint || :
        step "end to end" end_to_end || :
        wait "${beside[-1]}" || :
    else
        note 1 "Feature" "not run"
        step "clippy" lint || :
        note 1 "end to end" "not run"
    fi
}

trap clean_up EXIT
step "packages" prepare || :
step "format" cargo fmt --check || :
step "shellcheck" check_scripts || :
# The longest build begins first; what it says is said again by the step that needs it. The lanes and it are process groups, so
# that they end with this.
set -m
need_binary </dev/null >"$work/build" 2>&1 &
beside+=($!)
files_and_faults </dev/null &
beside+=($!)
set +m
dev_containers
wait "${beside[1]}" || note 1 "files and faults" "ended"
beside=()

printf '\n== summary, %s s\n' "$SECONDS"
cat "$report"
! grep -q '^FAILED' "$report"
