#!/usr/bin/env bash
# The Feature on distributions: in images without an sshd, which their own package managers install, from `setup` to a login
# over the alias. Prints a table; fails if anything in it does. Apart from tests/run.sh, for the images take long the first time.
#
# usage: distributions.sh [DISTRIBUTION…]     of those in `all`
#
# LACE_SSH_TEST_BINARY    a static lace-ssh of this source, so that none is built
# shellcheck disable=SC2016 # many commands here are for the far shell
set -euo pipefail

all=(alpine dnf dnf5 zypper pacman bullseye base trixie testing)
checks=(installed login sftp environment shell agent binary script restart sudo doctor)

test=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/engine.sh
source "$test/../../tests/engine.sh"
# shellcheck source=feature/test/images.sh
source "$test/images.sh"
work=$(mktemp -d)
report=$work/report
name=lace-ssh-distribution-$$

clean_up() {
    set +e
    [ -z "${SSH_AGENT_PID-}" ] || kill "$SSH_AGENT_PID"
    remove_containers
    docker image ls --format '{{ .Repository }}:{{ .Tag }}' "vsc-$name-*" | xargs -r docker image rm >/dev/null 2>&1
    remove_steps
    stop_engine
    as_root rm -rf --one-file-system "$work"
}
trap clean_up EXIT

remove_containers() {
    local id folder
    while read -r id folder; do
        [[ $folder != "$work"/* ]] || docker rm -f -v "$id" >/dev/null 2>&1
    done < <(docker ps -a --filter label=devcontainer.local_folder --format '{{ .ID }} {{ .Label "devcontainer.local_folder" }}')
}

# What the engine said it made, and no name leads to any more.
remove_steps() {
    local id nameless
    nameless=$(docker image ls -q -f dangling=true)
    sed -n 's/.*---> \([0-9a-f]\{12\}\)$/\1/p' "$work"/*/up.log | sort -u | while read -r id; do
        ! grep -qx "$id" <<<"$nameless" || docker image rm "$id" >/dev/null 2>&1
    done
}

# A project whose image has no sshd, and an environment that is not easy to hand on. A mirror may be older than the releases
# that move allow. Where root calls it, the CLI 0.89 would make the remote user root, too, if an image has more accounts than
# one in root's group.
make_project() {
    mkdir -p "$project/.devcontainer"
    cat >"$project/.devcontainer/Dockerfile" <<-EOF
	FROM lace-ssh-test:$1
	RUN ! command -v apt-get >/dev/null || { dpkg --purge openssh-server openssh-sftp-server >/dev/null && \\
	    rm -rf /etc/ssh/sshd* /run/sshd && echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/80mirror; }; \\
	    ! command -v sshd
	EOF
    cat >"$project/.devcontainer/devcontainer.json" <<-'EOF'
	{
	    "build": { "dockerfile": "Dockerfile" },
	    "remoteUser": "vscode",
	    "updateRemoteUserUID": false,
	    "containerEnv": { "GREETING": "it's \"quoted\" $HOME" },
	    "remoteEnv": { "PATH": "/opt/tools:${containerEnv:PATH}" }
	}
	EOF
}

# story DISTRIBUTION: a line of the table. What a check says goes to its log.
story() {
    local distribution=$1 check verdict line
    project=$work/$name-$distribution alias=lace-$name-$distribution
    printf '\n== %s\n' "$distribution"
    make_project "$distribution"
    (cd "$project" && lace-ssh setup --yes) >"$project/setup.log" 2>&1 || cat "$project/setup.log"
    if ! up; then
        tail -n 30 "$project/up.log"
        printf '%-32s  ✗ there is no container\n' "$distribution" >>"$report"
        return
    fi
    line=$(docker exec "$id" sh -c '. /etc/os-release; echo "$PRETTY_NAME"')
    line=$(printf '%-32s  %-7s  %-8s  %-8s' "$line" "$(openssh)" "$(manager)" "$(docker exec "$id" readlink -f /bin/sh | sed 's|.*/||')")
    for check in "${checks[@]}"; do
        verdict=✓
        if ! said=$("check_$check" 2>&1); then
            verdict=✗
            printf 'FAILED: %s: %s\n' "$check" "$said"
        fi
        line+=$(printf "  $verdict%$((${#check} - 1))s" '')
    done
    echo "$line"
    echo "$line" >>"$report"
    docker rm -f -v "$id" >/dev/null
}

# The CLI gives what it builds the same tag for every project: a build of somebody else at the same time may get in between.
up() {
    for _ in 1 2 3; do
        "$DEVCONTAINER" up --workspace-folder "$project" --remove-existing-container >"$project/up.log" 2>&1 || return 1
        id=$(sed -n 's/.*"containerId":"\([^"]*\)".*/\1/p' "$project/up.log")
        ! inside cmp -s /usr/local/bin/lace-ssh - <"$BINARY" || return 0
    done
}

openssh() { docker exec "$id" sshd -V 2>&1 | sed -n 's/^OpenSSH_\([^ ,]*\).*/\1/p'; }

# Which one install.sh has called: the first of its list that is there.
manager() {
    docker exec "$id" sh -c 'for it in apt-get apk dnf microdnf zypper pacman; do ! command -v $it >/dev/null || { echo $it; break; }; done'
}

remote() { ssh -F "$HOME/.ssh/config" "$@" </dev/null; }
inside() { docker exec -i -u root "$id" "$@"; }
equals() { [ "$1" = "$2" ] || { printf 'expected: %s\ngot:      %s\n' "$2" "$1" && false; }; }

# By the package manager, and without host keys.
check_installed() {
    grep -q 'lace-ssh: installing sshd' "$project/up.log" &&
        equals "$(inside sh -c 'echo /etc/ssh/ssh_host_*')" '/etc/ssh/ssh_host_*'
}

check_login() { equals "$(remote "$alias" id -un)" vscode; }

check_sftp() {
    sftp -q -F "$HOME/.ssh/config" -b - "$alias" <<<"put $BINARY there" >/dev/null &&
        sftp -q -F "$HOME/.ssh/config" -b - "$alias" <<<"get there $project/back" >/dev/null && cmp "$BINARY" "$project/back"
}

# The container's, and what only lifecycle commands know.
check_environment() {
    equals "$(remote "$alias" 'echo "$GREETING"')" "it's \"quoted\" \$HOME" &&
        equals "$(remote "$alias" 'echo "${PATH%%:*}"')" /opt/tools
}

# A person's: a login shell, on a terminal, in the workspace folder.
check_shell() {
    local said
    said=$(echo 'echo "in=$PWD ${PATH%%:*} $GREETING"; exit' |
        timeout 20 ssh -q -tt -F "$HOME/.ssh/config" "$alias" | tr -d '\r' | sed -n 's/.*\(in=\/.*\)/\1/p')
    equals "$said" "in=/workspaces/$name-$distribution /opt/tools it's \"quoted\" \$HOME"
}

check_agent() { equals "$(remote -A "$alias" 'echo "$SSH_AUTH_SOCK"; [ -S "$SSH_AUTH_SOCK" ]')" /var/lib/lace-ssh/1000/agent; }

check_binary() { inside cmp /usr/local/bin/lace-ssh - <"$BINARY" && remote "$alias" lace-ssh --version; }

# What stands for the binary where none runs.
check_script() {
    inside sh -c 'ln -sf ../share/lace-ssh/post-start /usr/local/bin/lace-ssh; rm /var/lib/lace-ssh/1000/environment' &&
        "$DEVCONTAINER" exec --workspace-folder "$project" --remote-env "BY_SCRIPT=it's" lace-ssh post-start &&
        equals "$(remote "$alias" 'echo "$BY_SCRIPT ${PATH%%:*} $GREETING"')" "it's /opt/tools it's \"quoted\" \$HOME"
}

check_restart() { docker restart -t 1 "$id" && check_login && check_environment; }

# By hand: the image lets its user become root.
check_sudo() {
    inside sh -c 'kill "$(cat /run/lace-ssh/sshd.pid)"; while [ -e /run/lace-ssh/sshd.pid ]; do sleep 0.1; done' &&
        docker exec -u vscode "$id" /usr/local/share/lace-ssh/start && check_login
}

check_doctor() {
    local said
    said=$(lace-ssh doctor "$alias") || { echo "$said" && return 1; }
    ! grep ✗ <<<"$said"
}

need_commands ssh ssh-agent cmp
start_engine && need_devcontainer && need_image "${@:-${all[@]}}"
BINARY=${LACE_SSH_TEST_BINARY:-}
[ -n "$BINARY" ] || need_binary
mkdir "$work/home" "$work/bin"
ln -s "$BINARY" "$work/bin/lace-ssh"
if [ -d "$HOME/.docker" ]; then export DOCKER_CONFIG=${DOCKER_CONFIG:-$HOME/.docker}; fi
export HOME=$work/home PATH=$work/bin:$PATH
eval "$(ssh-agent -s)" >/dev/null
printf '%-32s  %-7s  %-8s  %-8s  %s\n' distribution OpenSSH packages sh "$(printf '%s  ' "${checks[@]}")" >"$report"
for distribution in "${@:-${all[@]}}"; do story "$distribution"; done

printf '\n== summary, %s s\n' "$SECONDS"
cat "$report"
! grep -q ✗ "$report"
