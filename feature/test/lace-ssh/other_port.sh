#!/bin/bash
# shellcheck disable=SC1091
source "$(dirname "$0")/lib.sh"

make_keys
check "start" start
check "login" prints vscode login 2022 vscode id -un
check "nothing at the default port" exits 255 login 2222 vscode true

reportResults
