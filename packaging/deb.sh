#!/usr/bin/env bash
# Packages for Debian and its relatives, by cargo-deb and what Cargo.toml tells it.
#
# usage: deb.sh BINARIES FOLDER     makes FOLDER/lace-ssh_VERSION-1_amd64.deb and that of arm64
set -euo pipefail

CARGO_DEB_VERSION=3.8.0

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
wrap "$@"

need_cargo_deb() {
    local folder=$LACE_SSH_TEST_CACHE/cargo-deb-$CARGO_DEB_VERSION
    need_cargo || return 1
    PATH=$folder/bin:$PATH
    [ ! -x "$folder/bin/cargo-deb" ] || return 0
    engine_say "building cargo-deb $CARGO_DEB_VERSION (a minute)"
    cargo install -q --locked --root "$folder" "cargo-deb@$CARGO_DEB_VERSION" </dev/null
}

# Debian's form; what changed is told where the source is.
changelog() {
    printf 'lace-ssh (%s-1) unstable; urgency=medium\n\n  * See %s/blob/v%s/CHANGELOG.md\n\n' \
        "$VERSION" "$(field repository)" "$VERSION"
    printf ' -- %s  %s\n' "$(field maintainer)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

need_cargo_deb
# cargo-deb takes what it packs from below the manifest's folder, or by its target folder.
cp -R "$ROOT/Cargo.toml" "$ROOT/Cargo.lock" "$ROOT/src" "$ROOT/LICENSE" "$ROOT/README.md" "$WORK"
install -D -m 0644 -t "$WORK/packaging" "$ROOT/packaging/lintian-overrides"
put_documents "$WORK/target/deb"
cp "$BINARIES/THIRD-PARTY" "$WORK/target/deb/"
changelog >"$WORK/target/deb/changelog"
for architecture in "${ARCHITECTURES[@]}"; do
    triple=$architecture-unknown-linux-gnu
    install -D -m 0755 "$BINARIES/lace-ssh-$architecture" "$WORK/target/$triple/release/lace-ssh"
    CARGO_TARGET_DIR=$WORK/target cargo deb --quiet --locked --offline --no-build --no-strip --target "$triple" \
        --manifest-path "$WORK/Cargo.toml" --output "$OUTPUT/"
done
