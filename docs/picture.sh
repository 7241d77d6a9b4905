#!/usr/bin/env bash
# The screenshots in docs/ and at the top of the README, from the small runs in tests/runs and a live one: docs/picture.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-docs}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# shot NAME RUN WIDTH HEIGHT [FROM]: the page of a run, HEIGHT px of it from the element with the id FROM on
shot() {
  local page="$work/$2/index.html"
  [ -f "$page" ] || python -m analysis report "tests/runs/$2" --out "$work/$2" --quiet >/dev/null || exit 1
  local shown="$work/$1.html"
  printf '<body style="margin:0"><iframe src="%s" style="width:%spx;height:%spx;border:0"></iframe>' "file://$page${5:+#$5}" "$3" "$4" > "$shown"
  chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --user-data-dir="$work/profile" --hide-scrollbars --virtual-time-budget=3000 \
    --window-size="$3,$4" --screenshot="$out/$1.png" "file://$shown" >/dev/null 2>&1
  echo "$out/$1.png"
}

shot report burst 1100 1300
shot burst queue 1100 860 figure-burst
shot timeline queue 1100 860 figure-timeline
shot sweep sweep-whisper 1100 1010 figure-sweep_throughput
python -m tests.support.live_picture "$out"
shot phone queue 390 860 figure-waterfall
