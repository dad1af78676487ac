#!/bin/bash
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

make_keys
check "start, through sudo" start
check "sshd is root's" prints root ps -o user= -p "$(cat /run/lace-ssh/sshd.pid)"
check "login" prints vscode login 2222 vscode id -un

reportResults
