#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/*.txt: one set of versions for CPython 3.11 and later on Linux and macOS, with
# the hashes of every file. Present versions are kept where they still fit; `scripts/lock.sh --upgrade` moves all of them,
# `scripts/lock.sh --upgrade-package NAME` one. The files name packages, never the host they come from.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    # uv writes the lock files and nothing else needs it, so it lives in an environment of its own.
    uv=.cache/lock/bin/uv
    if [ ! -x "$uv" ]; then
        say "Installing uv, which resolves the lock files, into .cache/lock"
        "$(scripts/python.sh)" -m venv .cache/lock
        .cache/lock/bin/pip install --quiet --disable-pip-version-check uv
    fi
fi

compile() {
    local output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" \
        --output-file "$output" pyproject.toml requirements/build.in "$@"
    if grep -nE '://|^--|@ ' "$output"; then
        say "$output names a package host (above). Remove it from the local package configuration, then run this again."
        exit 1
    fi
    say "$output: $(grep -c '==' "$output") packages"
}

compile requirements/base.txt "$@"
compile requirements/production.txt --extra production --constraint requirements/base.txt "$@"
compile requirements/fleet.txt --extra fleet --constraint requirements/production.txt "$@"
compile requirements/test.txt --extra test --constraint requirements/fleet.txt "$@"
compile requirements/bench.txt --extra bench --constraint requirements/test.txt "$@"
