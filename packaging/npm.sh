#!/usr/bin/env bash
# Packages for npm: `lace-ssh` finds the binary in `@lace-ssh/linux-x64` or `@lace-ssh/linux-arm64`, of which npm installs the one that is for
# the machine. No script is run when they are installed, and nothing is downloaded.
#
# usage: npm.sh BINARIES FOLDER     makes FOLDER/lace-ssh-VERSION.tgz and FOLDER/lace-ssh-linux-{x64,arm64}-VERSION.tgz
#
# To be published in the other order: the two that it depends on, then lace-ssh.
set -euo pipefail

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
wrap "$@"

# manifest NAME MEMBERS: a package.json with what is the same in all.
manifest() {
    cat <<END
{
  "name": "$1",
  "version": "$VERSION",
  "description": "$(field description)",
  "license": "$(field license)",
  "homepage": "$(field homepage)",
  "repository": { "type": "git", "url": "git+$(field repository).git" },
  $2
}
END
}

# Dates, owners and order are npm's own, always the same.
npm_pack() {
    (cd "$1" && npm pack --silent --ignore-scripts --cache "$WORK/cache" --pack-destination "$OUTPUT" </dev/null >/dev/null)
}

need_commands node npm
for architecture in "${ARCHITECTURES[@]}"; do
    case $architecture in
    x86_64) cpu=x64 ;;
    aarch64) cpu=arm64 ;;
    esac
    folder=$WORK/linux-$cpu
    install -D -m 0755 "$BINARIES/lace-ssh-$architecture" "$folder/lace-ssh"
    install -m 0644 "$ROOT/LICENSE" "$BINARIES/THIRD-PARTY" "$folder/"
    echo "The binary of [lace-ssh](https://www.npmjs.com/package/lace-ssh) for Linux on $cpu: install that." >"$folder/README.md"
    # `preferUnplugged`: Yarn must not leave it in an archive, where it could not be run.
    manifest "@lace-ssh/linux-$cpu" "\"os\": [\"linux\"], \"cpu\": [\"$cpu\"], \"preferUnplugged\": true" >"$folder/package.json"
    npm_pack "$folder"
done

folder=$WORK/lace-ssh
put_documents "$WORK/documents"
install -D -m 0755 "$ROOT/packaging/npm/lace-ssh.js" "$folder/bin/lace-ssh.js"
install -D -m 0644 -t "$folder/man" "$WORK/documents/man/"*
install -m 0644 "$ROOT/LICENSE" "$ROOT/README.md" "$folder/"
pages=$(cd "$folder" && printf '"%s", ' man/*)
pages=${pages%, }
manifest lace-ssh "\"keywords\": [\"devcontainer\", \"ssh\", \"docker\"],
  \"bin\": { \"lace-ssh\": \"bin/lace-ssh.js\" },
  \"man\": [$pages],
  \"engines\": { \"node\": \">=16\" },
  \"optionalDependencies\": { \"@lace-ssh/linux-x64\": \"$VERSION\", \"@lace-ssh/linux-arm64\": \"$VERSION\" }" >"$folder/package.json"
npm_pack "$folder"
