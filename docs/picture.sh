#!/usr/bin/env bash
# The picture at the top of the README, from the report of any run: docs/picture.sh runs/<id>
set -euo pipefail
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
  --disable-component-update --disable-sync --user-data-dir="$profile" --hide-scrollbars --window-size=1100,1300 \
  --screenshot="$(dirname "$0")/report.png" "file://$(realpath "$1")/report/index.html" >/dev/null 2>&1
