#!/usr/bin/env bash
# ApacheBench against a running server on this machine:
#     benchmarks/load/ab.sh                          # http://127.0.0.1:8000
#     benchmarks/load/ab.sh http://127.0.0.1:9000
#     REQUESTS=2000 CONCURRENCY=20 benchmarks/load/ab.sh
# Registers two accounts of its own; each run is `ab -n 10000 -c 100` unless said otherwise. `-k` keeps connections open.
set -euo pipefail
cd "$(dirname "$0")"

base=${1:-http://127.0.0.1:8000}
base=${base%/}
requests=${REQUESTS:-10000}
concurrency=${CONCURRENCY:-100}
python=../../.venv/bin/python
[ -x "$python" ] || python=python3

reader=$("$python" account.py "$base" --todos 20)
writer=$("$python" account.py "$base" --todos 0)
body=$(mktemp)
trap 'rm -f "$body"' EXIT
printf '{"title":"Water the banyan"}' >"$body"

run() {
    printf '\n## %s\n' "$1"
    shift
    # -l: an answer may differ in length from the first (positions and versions grow). -q: no progress lines.
    ab -q -l -n "$requests" -c "$concurrency" "$@"
}

run "GET /todos" -H "Authorization: Bearer $reader" "$base/todos"
run "GET /todos, keep-alive" -k -H "Authorization: Bearer $reader" "$base/todos"
run "POST /todos" -H "Authorization: Bearer $writer" -T application/json -p "$body" "$base/todos"
run "POST /todos, keep-alive" -k -H "Authorization: Bearer $writer" -T application/json -p "$body" "$base/todos"
