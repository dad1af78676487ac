#!/bin/sh
# shellcheck disable=SC2154 # the host has set them
# Becomes an sshd for one connection, on stdin and stdout, in a container that has nothing of ours and keeps nothing.
#
# The host sends this text, and above it what it needs: `user`, `remote_env`, `config`, and what `config` names: `host_key`,
# `authorized_keys`, `revoked_keys`, `user_ca`, `principals`. Each becomes a file in memory that has no name any more:
# only this shell's descriptors lead there, so they are gone with it, however it ends.

main() {
    [ "$(id -u)" = 0 ] || fail "only root can start sshd for one connection"
    sshd=$(command -v sshd) || fail "there is no sshd in this container"
    id "$user" >/dev/null 2>&1 || fail "there is no account '$user' in this container"
    mkdir -p /run/sshd 2>/dev/null ||
        fail "/run/sshd cannot be made, and sshd needs it: start the container with --tmpfs /run"
    # Else the host key would be in a command line.
    case $(type printf) in
    *builtin*) ;;
    *) fail "the shell of this container has no printf of its own" ;;
    esac
    cat=$(command -v cat) || fail "there is no cat in this container"
    complete_config
    keep
}

complete_config() {
    config=$(printf '%s\n' "$config" | sed "s/@shell@/$$/g; s|@cat@|$cat|g")
    config="$config
$(environment)"
    # sshd refuses an account whose password is locked with `!` (as useradd leaves it), but not through PAM. That asks the
    # resolver again and again who is here: nobody waits long where none answers.
    case $(sed -n "s/^$user:\([^:]*\):.*/\1/p" /etc/shadow 2>/dev/null) in
    '!'*)
        config="$config
UsePAM yes"
        export RES_OPTIONS="attempts:1 timeout:1"
        ;;
    esac
    # From 9.8 on, sshd bans an address after failed logins, and here all have the same one. From 10.6 on, it notes each
    # login whose key exchange is not post-quantum: those here do not leave the machine.
    # One that does not know the older of the two is not asked for the other: somebody waits.
    for option in PerSourcePenalties WarnWeakCrypto; do
        if "$sshd" -t -f /dev/null -o "$option=no" 2>&1 | grep -qi 'bad configuration option'; then break; fi
        config="$config
$option no"
    done
}

# What the host has in `remote_env`, and the environment of the container, as whoever is let in by the engine has it, for what
# sshd does not set itself. What cannot stand in a line is left out, and what some old sshd would cut off. Of two with one
# name, the first counts in some sshd, in others the last.
environment() {
    old=
    case $("$sshd" -V 2>&1) in
    *OpenSSH_[1-7].* | *OpenSSH_8.[0-6]*) old=yes ;;
    esac
    printf SetEnv
    set_before=' '
    several_lines=$(printf '\001')
    {
        printf %s "$remote_env" | while IFS= read -r line; do put_in "$line"; done
        own_environment
    } | while IFS= read -r line; do
        name=${line%%=*}
        case $name in
        '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) continue ;;
        HOME | USER | LOGNAME | SHELL | MAIL | PWD | OLDPWD | SHLVL | TERM | _ | SSH_*) continue ;;
        esac
        case $line in
        *"$several_lines"*) continue ;;
        *[\"\\#]*)
            [ -z "$old" ] || continue
            line=$(printf '%s\n' "$line" | sed 's/["\\]/\\&/g')
            ;;
        esac
        case $set_before in
        *" $name "*) continue ;;
        esac
        set_before="$set_before$name "
        printf ' "%s"' "$line"
    done
    echo
}

own_environment() { tr '\0\n' '\n\001' <"/proc/$$/environ"; }

# Prints $1 with what the container has in the place of each `${containerEnv:NAME}` or `${containerEnv:NAME:DEFAULT}`.
put_in() {
    # shellcheck disable=SC2016 # it stands for itself
    open='${containerEnv:'
    close='}'
    text=$1
    done=
    while :; do
        case $text in
        *"$open"*"$close"*) ;;
        *) break ;;
        esac
        done=$done${text%%"$open"*}
        text=${text#*"$open"}
        variable=${text%%"$close"*}
        text=${text#*"$close"}
        name=${variable%%:*}
        value=
        case $name in
        '' | *[!A-Za-z0-9_]*) ;;
        *) value=$(own_environment | sed -n "s/^$name=/=/p" | head -n 1) ;;
        esac
        case $value/$variable in
        =*) value=${value#=} ;;
        *:*)
            value=${variable#*:}
            value=${value%%:*}
            ;;
        esac
        done=$done$value
    done
    printf '%s\n' "$done$text"
}

# Puts all of it into memory, starts sshd, and waits for it: it finds it by this shell's descriptors.
keep() {
    # Into the first no account but root can write.
    for memory in /dev /dev/shm ''; do
        if grep -q "^[^ ]* $memory tmpfs " /proc/mounts; then break; fi
    done
    [ "$memory" ] || fail "neither /dev/shm nor /dev of this container is in memory alone"
    umask 077
    number=0
    until mkdir "$memory/lace-ssh.$$.$number" 2>/dev/null; do
        number=$((number + 1))
        [ "$number" -lt 20 ] || fail "cannot write to $memory"
    done
    cd "$memory/lace-ssh.$$.$number" || exit
    printf '%s\n' "$config" >config && exec 3<config &&
        printf '%s' "$host_key" >host_key && exec 4<host_key &&
        printf '%s' "$authorized_keys" >authorized_keys && exec 5<authorized_keys &&
        printf '%s' "$revoked_keys" | base64 -d >revoked_keys && exec 6<revoked_keys &&
        printf '%s' "$user_ca" >user_ca && exec 7<user_ca &&
        printf '%s' "$principals" >principals && exec 8<principals
    written=$?
    cd / && rm -rf "$memory/lace-ssh.$$.$number"
    [ "$written" = 0 ] || fail "cannot write to $memory"
    unset host_key authorized_keys revoked_keys config
    umask 022
    "$sshd" -i -e -f "/proc/$$/fd/3" -o AllowUsers="$user"
    # sshd is no last command, which a shell may become.
    exit $?
}

fail() {
    echo "lace-ssh: error: $*" >&2
    exit 1
}

main
