#!/bin/sh
# What root sees in a container, a line for each fact; what is as it should be has no line, but for what is measured.
# $1: the account that may log in; $2: the port of sshd; $3: `adopted`, where nothing of ours is there.

share=/usr/local/share/lace-ssh
trust=/etc/lace-ssh
config=$share/sshd_config

main() {
    echo "clock $(date +%s)"
    account "$1"
    if ! sshd=$(command -v sshd); then echo "sshd absent"; fi
    lacks
    if grep -q '^[^ ]* / [^ ]* ro[, ]' /proc/mounts; then echo "root read-only"; fi
    # A home folder is often a volume of its own.
    case $(stat -c %d "${home:-/}" 2>/dev/null) in '' | "$(stat -c %d /)") home= ;; esac
    for folder in / /tmp /run ${home:+"$home"}; do
        space=$(stat -f -c '%a %b %S %d %c' "$folder" 2>/dev/null) && echo "space $folder $space"
    done
    [ "$3" = adopted ] || wired "$1" "$2"
    echo end
}

account() {
    command -v id >/dev/null || return
    if ! id "$1" >/dev/null 2>&1; then
        echo "account absent"
        return
    fi
    entry=$(getent passwd "$1" 2>/dev/null || sed -n "/^$1:/p" /etc/passwd)
    shell=${entry##*:}
    entry=${entry%:*}
    home=${entry##*:}
    if [ ! -d "$home" ]; then echo "home absent"; elif ! may_enter "$1" "$home"; then echo "home closed"; fi
    case ${shell##*/} in nologin | false) echo "shell closed $shell" ;; esac
    if [ "$shell" ] && { [ ! -f "$shell" ] || [ ! -x "$shell" ]; }; then echo "shell absent $shell"; fi
    if [ -e /etc/nologin ] && [ "$(id -u "$1")" != 0 ]; then echo "nologin"; fi
    shadow=$(sed -n "s/^$1://p" /etc/shadow 2>/dev/null)
    case $shadow in '!'*) grep -Eqi '^ *UsePAM[ =]+yes' "$config" 2>/dev/null || echo "account locked" ;; esac
    expires=$(echo "$shadow" | cut -d: -f7)
    case $expires in
    '' | *[!0-9]*) ;;
    *) [ $(($(date +%s) / 86400)) -le "$expires" ] || echo "account expired" ;;
    esac
    if [ "$1" != root ] && [ "$(id -u "$1")" = 0 ]; then echo "account root"; fi
}

# Whether the account $1 may work in the folder $2. Who is in which group is not looked up.
may_enter() {
    uid=$(id -u "$1")
    # A mode of no bits has one digit.
    seen=$(stat -L -c '%u 00%a' "$2") || return 0
    case $uid:$seen in
    0:*) ;;
    "$uid:$uid "*[0246]??) return 1 ;;
    "$uid:$uid "*) ;;
    *[0246][0246]) return 1 ;;
    esac
}

# The capabilities that sshd needs, and what starts it.
lacks() {
    had=$(sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status)
    # Of 64 bits those below, which every shell can count.
    had=${had#????????}
    [ "$had" ] || return
    for one in 1:CHOWN 64:SETGID 128:SETUID 262144:SYS_CHROOT; do
        [ $((0x$had & ${one%:*})) != 0 ] || echo "lacks ${one#*:}"
    done
}

# In a container that has the Feature, and the trust folder of the host.
wired() {
    echo "mount $(sed -n "s|^[^ ]* $trust [^ ]* \(r[ow]\)[ ,].*|\1|p" /proc/self/mounts | tail -n 1)"
    echo "boot $(cat /proc/sys/kernel/random/boot_id)"
    echo "folder $(stat -c %d:%i "$trust")"
    for name in ssh_host_ed25519_key authorized_keys revoked_keys; do
        if [ ! -e "$trust/$name" ]; then echo "missing $name"; elif [ ! -r "$trust/$name" ]; then echo "unreadable $name"; fi
    done
    for name in authorized_keys revoked_keys; do
        sum=$(sha256sum <"$trust/$name") && echo "digest $name ${sum%% *}"
    done 2>/dev/null
    if public=$(ssh-keygen -y -P '' -f "$trust/ssh_host_ed25519_key" 2>/dev/null); then
        echo "$public" | sed -n 's/^\([^ ]* [^ ]*\).*/host-key \1/p'
    fi
    if [ ! -x "$share/start" ]; then
        echo "feature absent"
    elif [ -e "$share/seal" ] && [ "$(seal 2>/dev/null | cksum)" != "$(cat "$share/seal")" ]; then
        echo "feature changed"
    fi
    # One that was taken away may still listen, and serves nobody.
    [ "$sshd" ] || return
    # What it lacks at run time is made when it starts.
    said=$("$sshd" -t -f "$config" 2>&1) || case $said in
    'Missing privilege separation directory'*) ;;
    *) echo "fault $(echo "$said" | head -n 1)" ;;
    esac
    sftp=$(sed -n 's/^ *[Ss]ubsystem *sftp *\([^ ]*\).*/\1/p' "$config" 2>/dev/null)
    case $sftp in
    /*) [ -x "$sftp" ] || echo "sftp absent $sftp" ;;
    esac
    # By what it shows of itself: the file that names it may be gone.
    for file in /proc/[0-9]*/cmdline; do
        case $(tr '\0' ' ' <"$file") in
        sshd:*"$config"*AllowUsers="$1 "*) echo "sshd runs" ;;
        sshd:*"$config"*) echo "sshd serves another" ;;
        esac
    done 2>/dev/null
    if grep -Eqs "$(printf ':%04X' "$2") [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6; then echo "port taken"; fi
}

# As the Feature's `install.sh`.
seal() (
    cd "$share" || return
    set -- . authorized entrypoint post-start session sshd_config start
    stat -c '%n %a %u' "$@"
    shift
    cat "$@"
)

# The first is this text.
shift
main "$@"
