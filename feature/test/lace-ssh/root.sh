#!/bin/bash
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

make_keys
check "start" start
check "login" prints 0 login 2222 root id -u
check "another account is refused" exits 255 login 2222 vscode true

reportResults
