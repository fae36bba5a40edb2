#!/usr/bin/env bash
# Makes .venv hold what the lock file says, and Banyan itself, editable:
#     scripts/environment.sh base     what `banyan up` needs
#     scripts/environment.sh fleet    base, and what `banyan fleet up` needs
#     scripts/environment.sh test     all of it, and what the tests and checks need
#     scripts/environment.sh bench    all of it, and what the comparison with other servers needs
# Does nothing, in a few milliseconds, while nothing that it installs from has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=${1:?which environment: base, fleet, test or bench}
venv=.venv
log=.venv/setup.log

say() { printf '%s\n' "$*" >&2; }

# A venv holds absolute paths, so one that was copied or moved with its checkout is made anew.
place() { printf '%s\n' "$PWD"; }

# cksum is the one checksum that both Linux and macOS have without installing anything. The source is left out on purpose:
# an editable installation follows it by itself.
stamp_of() { cat pyproject.toml "requirements/$1.txt" scripts/environment.sh | cksum; }

is_current() {
    [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.place" 2>/dev/null)" = "$(place)" ] &&
        [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(stamp_of "$1")" ]
}

# Each of base, fleet, test and bench holds all of the one before it, at the same versions.
case $wanted in
    base) holders="base fleet test bench" ;;
    fleet) holders="fleet test bench" ;;
    test) holders="test bench" ;;
    *) holders=bench ;;
esac
for holder in $holders; do
    if is_current "$holder"; then
        exit 0
    fi
done

install_venv_module() {
    # Debian and Ubuntu ship Python without the part that makes environments.
    local python=$1 package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing $package"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } \
            >/tmp/banyan-apt.$$ 2>&1 || { tail -n 5 /tmp/banyan-apt.$$ >&2; say "Could not install $package."; exit 1; }
        rm -f /tmp/banyan-apt.$$
    else
        say "$python cannot make an environment: its venv module is not installed. On Debian or Ubuntu:"
        say "    sudo apt-get install $package"
        exit 1
    fi
}

make_venv() {
    local python
    python=$(scripts/python.sh)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_module "$python"
    say "Making the environment in $venv with $("$python" --version)"
    # Clears a half-made or moved one; nothing of a user's lives in it.
    "$python" -m venv --clear "$venv"
    place >"$venv/.place"
}

# Turns pip's talk into a counter: one line that moves on a terminal, one in twenty packages elsewhere.
show_progress() {
    local total=$1 count=0 moving=no line name
    [ -t 2 ] && moving=yes
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
            Collecting\ * | Requirement\ already\ satisfied:\ *)
                count=$((count + 1))
                name=${line#Collecting }
                name=${name#Requirement already satisfied: }
                if [ $moving = yes ]; then
                    printf '\r\033[K  %d/%d  %s' "$count" "$total" "${name%%=*}" >&2
                elif [ $((count % 20)) = 0 ]; then
                    say "  $count/$total"
                fi
                ;;
            Installing\ collected\ packages:*)
                if [ $moving = yes ]; then printf '\r\033[K  unpacking' >&2; else say "  unpacking"; fi
                ;;
        esac
    done
    if [ $moving = yes ]; then printf '\r\033[K' >&2; fi
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

fail() {
    say "$1 The end of $log:"
    tail -n 15 "$log" >&2
    say ""
    say "$2"
    exit 1
}

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
    { [ ! -e "$venv/.place" ] || [ "$(cat "$venv/.place")" = "$(place)" ]; }; then
    place >"$venv/.place"
else
    make_venv
fi

rm -f "$venv"/.installed-* "$log"
# Packages for another system stay in the file behind a marker and are not counted.
total=$(grep -c '^[A-Za-z0-9].*==' "requirements/$wanted.txt")
total=$((total - $(grep -c "sys_platform == 'win32'" "requirements/$wanted.txt" || true)))
say "Installing $total locked packages (only the first time, and when the lock changes)"
pip install --require-hashes --progress-bar off -r "requirements/$wanted.txt" 2>&1 | show_progress "$total" ||
    fail "Could not install the locked packages." \
        "Can this machine reach the package index? pip takes its settings (index, proxy, certificates) as usual. Then run it again."
# The build backend is locked too and present by now: nothing is fetched past the lock.
pip install --quiet --no-deps --no-build-isolation -e . >>"$log" 2>&1 ||
    fail "Could not install Banyan itself into $venv." "Is pyproject.toml as it should be?"
stamp_of "$wanted" >"$venv/.installed-$wanted"
say "The environment is ready"
