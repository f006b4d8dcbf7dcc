#!/bin/sh
# Makes .venv from the locks: everything that runs, tests and checks fieldguide, and the `fieldguide` command itself.
# Called by the Makefile; PYTHON names the Python to begin with. Nothing outside .venv and uv's cache is touched.
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)

say() { printf '%s\n' "$*"; }
fail() {
    printf 'fieldguide: %s\n' "$*" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer, and ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true);" \
        "install one (Debian 12, Ubuntu 24.04 or newer: apt-get install python3 python3-venv)," \
        "or name one: make PYTHON=/path/to/python3.11 …"
}

started=$(date +%s)

# A stamp is written last, so an environment without one was left half-made; one whose stamp names another folder
# was moved or copied. Both are made again.
if [ "$(cat .venv/.installed 2>/dev/null || true)" != "$here" ] || ! is_new_enough .venv/bin/python; then
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"
    rm -rf .venv
    say "Making .venv with $("$python" --version)."
    "$python" -m venv .venv
    packages=$(grep -c '^[A-Za-z0-9].*==' requirements/fieldguide.lock)
    say "Installing $packages packages; the first time they have to be downloaded (some 3 GB, most of it torch)."
    if [ "$(df -Pk . | awk 'NR == 2 { print $4 }')" -lt 8000000 ]; then
        say "Less than 8 GB of disk is free here, which may not be enough."
    fi
else
    say "Bringing .venv into line with requirements/ and pyproject.toml."
fi
rm -f .venv/.installed

.venv/bin/python -m pip install -qq --no-input --disable-pip-version-check --no-warn-script-location \
    --require-hashes --only-binary :all: --requirement requirements/uv.lock ||
    fail "pip could not install uv (its own message stands above); once that is mended, run the same command again"

# UV_LINK_MODE is left alone: uv links from its cache, or copies where the cache is on another disk; --quiet keeps
# it from remarking on that. Where a package has to be built, its build tools are held to the lock as well.
uv() { UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}" .venv/bin/uv --quiet pip install --python .venv/bin/python "$@"; }
# Compiled here, once: where the environment forbids bytecode, every job would compile its imports again.
uv --compile-bytecode --require-hashes --build-constraints requirements/fieldguide.lock --requirement requirements/fieldguide.lock ||
    fail "uv could not install requirements/fieldguide.lock (its own message stands above); run the same command again"
uv --no-deps --no-build-isolation --editable . ||
    fail "uv could not install fieldguide itself (its own message stands above)"

seconds=$(($(date +%s) - started))
printf '%s\n' "$seconds" >.venv/install_seconds
printf '%s\n' "$here" >.venv/.installed
say "Environment ready in .venv after $seconds s."
