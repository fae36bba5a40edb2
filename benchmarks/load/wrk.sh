#!/usr/bin/env bash
# wrk against a running server on this machine:
#     benchmarks/load/wrk.sh                                   # http://127.0.0.1:8000, all kinds
#     benchmarks/load/wrk.sh http://127.0.0.1:9000 create mixed
#     CONNECTIONS=1 DURATION=5 benchmarks/load/wrk.sh
# Kinds: list, unchanged, create, mixed (see wrk.lua). Registers ACCOUNTS (8) accounts of its own.
set -euo pipefail
cd "$(dirname "$0")"

base=${1:-http://127.0.0.1:8000}
base=${base%/}
shift || true
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(list unchanged create mixed)
python=../../.venv/bin/python
[ -x "$python" ] || python=python3

tokens=$(mktemp)
trap 'rm -f "$tokens"' EXIT
"$python" account.py "$base" --count "${ACCOUNTS:-8}" --todos 20 >"$tokens"

for kind in "${kinds[@]}"; do
    tag=$(curl -s --noproxy '*' -o /dev/null -D - -H "Authorization: Bearer $(head -n 1 "$tokens")" "$base/todos" |
        tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
    printf '\n## %s\n' "$kind"
    wrk -t1 -c "${CONNECTIONS:-64}" -d "${DURATION:-8}s" --latency -s wrk.lua "$base" -- "$kind" "$tokens" "$tag"
done
