#!/bin/sh
# Installs the Feature lace-ssh into an image: an sshd if there is none, its own configuration, the scripts beside this
# file. What an sshd that is there already uses (/etc/ssh, its keys, its service) stays as it is.
set -eu

PORT=${PORT:-2222}
# Not every CLI says it: then the first `start` from within tells.
REMOTE_USER=${_REMOTE_USER-}
share=/usr/local/share/lace-ssh
state=/var/lib/lace-ssh

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
umask 022

main() {
    cd "$(dirname "$0")"
    [ "$(id -u)" = 0 ] || fail "must run as root"
    check_port
    command -v sshd >/dev/null || install_sshd
    install_scripts
    write_config
    seal | cksum >"$share/seal" || rm -f "$share/seal"
    install_binary
    echo "lace-ssh: installed; sshd will listen on port $PORT and let ${REMOTE_USER:-the remote user} in"
}

check_port() {
    case $PORT in
    '' | 0* | *[!0-9]* | ??????*) fail "option port: '$PORT' is not a number from 1 to 65535" ;;
    esac
    [ "$PORT" -le 65535 ] || fail "option port: '$PORT' is not a number from 1 to 65535"
}

# Host keys that the package makes would be in the image, the same in all its containers: they are deleted.
install_sshd() {
    echo "lace-ssh: installing sshd"
    before=$(ls /etc/ssh/ssh_host_* 2>/dev/null || true)
    if command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o Acquire::Retries=3 update
        apt-get -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold \
            install -y --no-install-recommends openssh-server
        rm -rf /var/lib/apt/lists/*
    elif command -v apk >/dev/null; then
        apk add --no-cache openssh-server openssh-sftp-server
    elif command -v dnf >/dev/null; then
        dnf install -y openssh-server util-linux
        dnf clean all
    elif command -v microdnf >/dev/null; then
        microdnf install -y openssh-server util-linux
        microdnf clean all
    elif command -v zypper >/dev/null; then
        zypper --non-interactive install --no-recommends openssh-server util-linux
        zypper clean --all
    elif command -v pacman >/dev/null; then
        # All of it: newer packages among older ones are not meant to work.
        pacman -Syu --noconfirm --needed openssh
        rm -rf /var/cache/pacman/pkg/*
    else
        fail "there is no sshd in this image, and no apt-get, apk, dnf, microdnf, zypper or pacman to install it with; add the OpenSSH server to the image"
    fi
    for key in /etc/ssh/ssh_host_*; do
        echo "$before" | grep -qxF "$key" || rm -f "$key"
    done
    command -v sshd >/dev/null || fail "the package of the OpenSSH server is installed, but there is no sshd"
}

install_scripts() {
    mkdir -p "$share"
    install -m 0755 entrypoint start session authorized post-start "$share/"
    # Not every CLI labels the container with it.
    sed -n 's/.*"contract": *\([0-9]*\).*/contract \1/p' devcontainer-feature.json >"$share/contract"
    if [ -n "$REMOTE_USER" ]; then echo "$REMOTE_USER" >"$share/user"; else rm -f "$share/user"; fi

    # Sessions source what is here: only root may put anything there. In a container without root each account makes its
    # own folder in `own`.
    rm -rf "$state"
    mkdir -p "$state/own"
    chmod 0755 "$state"
    chmod 1777 "$state/own"
    : >"$state/sshd.log"

    # Login shells set PATH anew in /etc/profile.
    mkdir -p /etc/profile.d
    cat >/etc/profile.d/00-lace-ssh.sh <<'EOF'
# In ssh sessions of lace-ssh: the PATH of the dev container.
if [ -n "${LACE_SSH_PATH-}" ]; then PATH=$LACE_SSH_PATH; fi
EOF
}

write_config() {
    config=$share/sshd_config
    {
        cat sshd_config
        echo "Port $PORT"
        for sftp_server in /usr/lib/openssh /usr/lib/ssh /usr/libexec/openssh /usr/libexec/ssh /usr/libexec; do
            if [ -x "$sftp_server/sftp-server" ]; then
                echo "Subsystem sftp $sftp_server/sftp-server"
                break
            fi
        done
        # From 9.8 on, sshd bans an address after failed logins: behind a published port all clients have the same one.
        # From 10.6 on, it notes each login whose key exchange is not post-quantum: those here do not leave the machine.
        for option in PerSourcePenalties WarnWeakCrypto; do
            if sshd_knows "$option"; then echo "$option no"; fi
        done
        # From 8.2 on: what `start` writes for whoever comes as another account.
        if sshd_knows Include; then echo "Include /var/lib/lace-ssh/others.conf"; fi
    } >"$config"

    # Better that the build fails than that sshd does at every start.
    mkdir -p /run/sshd
    key=$(mktemp -d)
    ssh-keygen -q -t ed25519 -N '' -f "$key/host"
    said=$("$(command -v sshd)" -t -f "$config" -h "$key/host" 2>&1) || fail "sshd does not accept $config: $said"
    rm -rf "$key"
}

# What sshd runs and reads, for `lace-ssh doctor`, which looks at it in the same way.
seal() (
    cd "$share"
    set -- . authorized entrypoint post-start session sshd_config start
    stat -c '%n %a %u' "$@"
    shift
    cat "$@"
)

# Whether this sshd has the option $1: one that it does not know would keep it from starting.
sshd_knows() {
    ! "$(command -v sshd)" -t -f /dev/null -o "$1=no" 2>&1 | grep -qi 'bad configuration option'
}

# For `lace-ssh post-start`: the binary for this machine, of those that a package has, or the one that `setup` put here. It
# may be none, or one for another system: then a script does it.
install_binary() {
    mkdir -p /usr/local/bin
    for binary in "lace-ssh-$(uname -m)" lace-ssh; do
        [ -f "$binary" ] || continue
        if cp "$binary" "$share/lace-ssh.new" && chmod 0755 "$share/lace-ssh.new" && "$share/lace-ssh.new" --version; then
            mv -f "$share/lace-ssh.new" /usr/local/bin/lace-ssh
            return
        fi
        rm -f "$share/lace-ssh.new"
        echo "lace-ssh: warning: the binary $binary beside install.sh does not run here" >&2
    done
    echo "lace-ssh: no binary beside install.sh runs here: a script takes its place"
    ln -sf "$share/post-start" /usr/local/bin/lace-ssh
}

fail() {
    echo "lace-ssh: error: $*" >&2
    exit 1
}

main
