#!/usr/bin/env bash
# Prints the folder of PostgreSQL's programs for the tests: BANYAN_POSTGRES if it is set, else the one of the system, else one
# that is installed now, where this may be done. Prints nothing when there is none: the tests on PostgreSQL then skip, and say
# so. With BANYAN_CI=1 a missing server is a failure.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

find_postgres() {
    local folder
    if [ -n "${BANYAN_POSTGRES:-}" ] && [ -x "$BANYAN_POSTGRES/postgres" ]; then
        printf '%s\n' "$BANYAN_POSTGRES"
        return 0
    fi
    if command -v initdb >/dev/null; then
        dirname "$(readlink -f "$(command -v initdb)")"
        return 0
    fi
    # Debian keeps each version in a folder of its own, off the PATH.
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
        if [ -x "$folder/postgres" ]; then
            printf '%s\n' "$folder"
            return 0
        fi
    done
    return 1
}

if find_postgres; then
    exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing postgresql for the tests"
    log=$(mktemp)
    if apt-get update -qq >"$log" 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >>"$log" 2>&1 && find_postgres; then
        rm -f "$log"
        exit 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
fi

if [ "${BANYAN_CI:-}" = 1 ]; then
    say "No PostgreSQL on this machine, and none could be installed: the tests on it cannot run, which fails a CI run."
    exit 1
fi
say "No PostgreSQL on this machine: the tests on it will be skipped. Install it (Debian: apt-get install postgresql),"
say "or set BANYAN_POSTGRES to the folder of its programs."
