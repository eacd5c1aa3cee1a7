#!/bin/sh
# Fuzz the reader of run files: `sh scripts/fuzz.sh [SECONDS]`. Needs a nightly toolchain and
# cargo-fuzz (`cargo install cargo-fuzz`). Starts from run files of the program itself, goes on after
# crashes, and says in the end whose they were: the library's, which the program survives because it
# reads in a process of its own, or ours.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
corpus=fuzz/corpus/read_run
artifacts=fuzz/artifacts/read_run
mkdir -p "$corpus" "$artifacts"

cargo build --quiet
program=${CARGO_TARGET_DIR:-target}/debug/lcascope
if [ ! -e "$corpus/seed.h5" ]; then
    folder=$(mktemp -d)
    printf '%s\n' "name = 'tiny'" '[[layer]]' "kind = 'linear'" 'units = 2' \
        '[[layer]]' "kind = 'linear'" 'units = 10' >"$folder/tiny.toml"
    "$program" train "$folder/tiny.toml" --quiet --train-size 20 --test-size 10 --batch-size 10 \
        --steps 3 --trace 2 -o "$folder/seed.h5"
    mv "$folder/seed.h5" "$corpus/"
    head -c 20000 "$corpus/seed.h5" >"$corpus/cut.h5"
    rm -r "$folder"
fi

ASAN_OPTIONS=detect_leaks=0 cargo +nightly fuzz run read_run -- -fork=1 -ignore_crashes=1 -ignore_timeouts=1 -ignore_ooms=1 \
    -detect_leaks=0 -rss_limit_mb=4096 -timeout=20 -max_len=600000 -max_total_time="$seconds" || true

# What the processes that crashed left behind.
rm -f /dev/shm/lcascope-fuzz-*.h5

ours=0
theirs=0
for found in "$artifacts"/*; do
    [ -e "$found" ] || continue
    status=0
    said=$("$program" info "$found" 2>&1 >/dev/null) || status=$?
    case $status:$said in
    1:*"this is a bug"*) ours=$((ours + 1)) && echo "$found: $said" ;;
    0:* | 1:*) theirs=$((theirs + 1)) ;;
    *) ours=$((ours + 1)) && echo "$found: $status $said" ;;
    esac
done
echo "inputs kept as crashes: $theirs that the program survives, $ours that it does not"
[ "$ours" -eq 0 ]
