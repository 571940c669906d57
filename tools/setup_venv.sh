#!/usr/bin/env bash
# Makes .venv with everything that `make check`, `make demo` and `make test` need.
# torch comes from its CPU index where that answers: a plain wheel may bring gigabytes of CUDA along.
set -euo pipefail
cd "$(dirname "$0")/.."

python=""
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { echo "no Python 3.11 or later was found; name one: make PYTHON=..." >&2; exit 1; }

[ -x .venv/bin/python ] || "$python" -m venv .venv || {
    echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
}

index=()
cpu_index=https://download.pytorch.org/whl/cpu
if .venv/bin/python - "$cpu_index/torch/" <<'PYTHON' 2>/dev/null; then
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5).read(1)
PYTHON
    index=(--extra-index-url "$cpu_index")
fi

.venv/bin/python -m pip install --quiet --disable-pip-version-check "${index[@]}" \
    --constraint tools/constraints.txt --editable '.[dev]'
