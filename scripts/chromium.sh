#!/usr/bin/env bash
# Prints the path of a Chromium (or Chrome) for the browser tests: BANYAN_CHROMIUM if it is set, else the one of the system,
# else one that is installed now, where this may be done. Prints nothing when there is none: the browser tests then skip, and
# say so. With BANYAN_CI=1 a missing browser is a failure.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

find_chromium() {
    local candidate
    for candidate in ${BANYAN_CHROMIUM:+"$BANYAN_CHROMIUM"} chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        # Ubuntu's chromium-browser may be a stub that asks for a snap: only one that answers counts.
        if command -v "$candidate" >/dev/null && "$candidate" --version >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

if find_chromium; then
    exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing chromium for the browser tests"
    log=$(mktemp)
    if apt-get update -qq >"$log" 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >>"$log" 2>&1 && find_chromium; then
        rm -f "$log"
        exit 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
fi

if [ "${BANYAN_CI:-}" = 1 ]; then
    say "No Chromium on this machine, and none could be installed: the browser tests cannot run, which fails a CI run."
    exit 1
fi
say "No Chromium on this machine: the browser tests will be skipped. Install it (Debian: apt-get install chromium),"
say "or set BANYAN_CHROMIUM to its path."
