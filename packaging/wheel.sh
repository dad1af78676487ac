#!/usr/bin/env bash
# Wheels for PyPI, so that `pipx install lace-ssh` and `uvx lace-ssh` do: the binary, manual pages, completions, no Python. Packed by PyPI's own
# `wheel`; maturin would have to compile, and takes no binary that is there.
#
# usage: wheel.sh BINARIES FOLDER     makes FOLDER/lace_ssh-VERSION-py3-none-….whl for x86-64 and arm64
set -euo pipefail

WHEEL_PACKAGES='wheel==0.48.0 packaging==26.4'

# shellcheck source=packaging/lib.sh
source "$(dirname "$0")/lib.sh"
wrap "$@"

need_wheel() {
    PYTHON=$LACE_SSH_TEST_CACHE/wheel-$(cksum <<<"$WHEEL_PACKAGES" | cut -d ' ' -f 1)/bin/python3
    if "$PYTHON" -c 'import wheel, packaging' 2>/dev/null; then return 0; fi
    need_commands python3 || return 1
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        apt_get update && apt_get install --no-install-recommends python3-venv || return 1
    fi
    # shellcheck disable=SC2086 # one word each
    python3 -m venv "${PYTHON%/bin/python3}" && "$PYTHON" -m pip install -q $WHEEL_PACKAGES && return
    engine_say "pip could not install $WHEEL_PACKAGES"
    return 1
}

metadata() {
    cat <<END
Metadata-Version: 2.4
Name: lace-ssh
Version: $VERSION
Summary: $(field description)
License-Expression: $(field license)
License-File: LICENSE
License-File: THIRD-PARTY
Keywords: devcontainer,ssh,docker
Classifier: Environment :: Console
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Rust
Project-URL: Repository, $(field repository)
Project-URL: Changelog, $(field repository)/blob/v$VERSION/CHANGELOG.md
Description-Content-Type: text/markdown

END
    cat "$ROOT/README.md"
}

need_wheel
put_documents "$WORK/documents"
for architecture in "${ARCHITECTURES[@]}"; do
    # Static: it runs beside any C library. Each name is one that PyPI takes.
    tags=(manylinux_2_17_"$architecture" manylinux2014_"$architecture" musllinux_1_1_"$architecture")
    unpacked=$WORK/$architecture/lace_ssh-$VERSION
    info=$unpacked/lace_ssh-$VERSION.dist-info
    data=$unpacked/lace_ssh-$VERSION.data
    mkdir -p "$info/licenses" "$data/data/share/man/man1" "$data/data/share/bash-completion/completions" \
        "$data/data/share/zsh/site-functions" "$data/data/share/fish/vendor_completions.d"
    install -D -m 0755 "$BINARIES/lace-ssh-$architecture" "$data/scripts/lace-ssh"
    install -m 0644 "$WORK/documents/man/"* "$data/data/share/man/man1/"
    install -m 0644 "$WORK/documents/completions/lace-ssh" "$data/data/share/bash-completion/completions/"
    install -m 0644 "$WORK/documents/completions/_lace-ssh" "$data/data/share/zsh/site-functions/"
    install -m 0644 "$WORK/documents/completions/lace-ssh.fish" "$data/data/share/fish/vendor_completions.d/"
    install -m 0644 "$ROOT/LICENSE" "$BINARIES/THIRD-PARTY" "$info/licenses/"
    metadata >"$info/METADATA"
    {
        printf 'Wheel-Version: 1.0\nGenerator: lace-ssh/packaging\nRoot-Is-Purelib: false\n'
        printf 'Tag: py3-none-%s\n' "${tags[@]}"
    } >"$info/WHEEL"
    "$PYTHON" -m wheel pack --dest-dir "$OUTPUT" "$unpacked" >/dev/null
done
