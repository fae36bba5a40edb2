#!/usr/bin/env bash
# Prints the path of a CPython that can run Banyan (3.11 or later): PYTHON if it is set, else the first that fits.
set -euo pipefail

fits() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    if ! command -v "$PYTHON" >/dev/null; then
        echo "PYTHON is set to '$PYTHON', which is not a command on this machine." >&2
        exit 1
    fi
    if ! fits "$PYTHON"; then
        echo "Banyan needs Python 3.11 or later, but PYTHON='$PYTHON' is $("$PYTHON" --version 2>&1 || true)." >&2
        exit 1
    fi
    command -v "$PYTHON"
    exit
fi

for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null && fits "$candidate"; then
        command -v "$candidate"
        exit
    fi
done

found=$(python3 --version 2>/dev/null || true)
cat >&2 <<MESSAGE
Banyan needs Python 3.11 or later; this machine has ${found:-none on its PATH}.
  Debian 12, Ubuntu 24.04 or later:  apt-get install python3 python3-venv
  macOS:                             brew install python
Is it somewhere else? Then say where:  make up PYTHON=/path/to/python3.12
MESSAGE
exit 1
