#!/bin/bash
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

check "sshd is installed" test -x /usr/sbin/sshd
check "no host key in the image" bash -c '! ls /etc/ssh/ssh_host_*'
check "no package lists" bash -c '! ls /var/lib/apt/lists/*_Packages*'
make_keys
check "start" start
check "login" prints vscode login 2222 vscode id -un
check "sftp" test -x "$(sed -n 's/^Subsystem sftp //p' /usr/local/share/lace-ssh/sshd_config)"

reportResults
