#!/bin/bash
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

make_keys
check "start" start
check "login" prints vscode login 2222 vscode id -un
check "root is refused" exits 255 login 2222 root true
check "exit codes" exits 42 login 2222 vscode exit 42
check "sshd is root's" prints root ps -o user= -p "$(cat /run/lace-ssh/sshd.pid)"

printf '%s\n' "export TOOLS='it'\\''s here'" >"/var/lib/lace-ssh/$(id -u)/environment"
# shellcheck disable=SC2016
check "the environment that post-start wrote" prints "it's here" login 2222 vscode 'echo "$TOOLS"'

reportResults
