#!/usr/bin/env bash
# Small faults, put into the code one at a time: which of them do the unit tests notice?
#
# usage: mutants.sh [FILE…]      without: each file that protects somebody, which takes hours
#
# Prints each fault that nobody noticed, and a table for CONTRIBUTING.md. Works in a copy of the tree below target/, which is
# kept, so that the next time begins sooner.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=tests/engine.sh
source tests/engine.sh
command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants

place=$PWD/target/mutants
tree=$place/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - | tar -xf - -C "$tree"

# A fault in one of these costs a key, lets the wrong one in, or locks the right one out. A new file of that kind belongs here.
if [ $# = 0 ]; then
    set -- src/{change,durable,escape,inventory,settings,trust}.rs src/{ca,client,engine,keys,ring,route,settings,workspace}/*.rs \
        src/store/{*,*/*}.rs src/commands/{access,forward,keys,listen,remove}/*.rs \
        src/devcontainer/{compose,forward,guard,options,publish}.rs
fi
# The tests make thousands of small files and flush them: in memory they take a third of the time.
if folder=$(memory_folder); then
    export TMPDIR=$folder
    trap 'rm -rf "$folder"' EXIT
fi
files=()
for file in "$@"; do files+=(--file "$file"); done
code=0
(cd "$tree" && CARGO_TARGET_DIR=$place/build cargo mutants --in-place --no-shuffle --output "$place" --colors never "${files[@]}") || code=$?

# Faults that nobody noticed are what this is for; all else is trouble.
case $code in 0 | 2 | 3) ;; *) exit "$code" ;; esac
cd "$place/mutants.out"
printf '\n| file | noticed | of |\n| --- | ---: | ---: |\n'
awk -F: '
    { of[$1]++ }
    FILENAME != "missed.txt" { noticed[$1]++ }
    END { for (file in of) printf "| `%s` | %d %% | %d |\n", file, 100 * noticed[file] / of[file], of[file] }
' caught.txt timeout.txt missed.txt | LC_ALL=C sort
