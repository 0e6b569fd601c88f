#!/usr/bin/env bash
# bench_runner.sh: what the runner itself costs, with jobs that do nothing but leave a durable result, beside the bare
# loop that makes a file durable on the same disk, and beside ninja and GNU parallel where they are installed.
#
#   tools/bench_runner.sh [FOLDER]     FOLDER: on the disk to be measured (default: the system's temporary one)
set -euo pipefail
cd "$(dirname "$0")/.."
assay=$PWD/build/release/assay
folder=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/assay-bench-XXXXXX")
trap 'rm -rf "$folder"' EXIT

show() { printf '%-46s %s\n' "$1" "$2"; }
seconds() {  # seconds COMMAND...: wall time of a whole process
  local begun; begun=$(date +%s%N)
  "$@" >/dev/null 2>&1
  echo "$(( ($(date +%s%N) - begun) / 1000000 )) ms"
}

show "bare loop, 1000 files" "$("$assay" bench-runner -w "$folder/bare" --jobs 1000 --bare)"
for jobs in 100 1000 10000; do
  show "assay, 2 gangs" "$("$assay" bench-runner -w "$folder/w$jobs" --jobs "$jobs" --slots 2)"
done
show "assay, nothing to do, whole process, 10000 jobs" "$(seconds "$assay" bench-runner -w "$folder/w10000" --jobs 10000)"
show "assay status, 10000 jobs" "$(seconds "$assay" status -w "$folder/w10000")"

if command -v parallel >/dev/null; then
  show "GNU parallel -j2 --joblog, 1000 jobs" "$(seconds sh -c "seq 1000 | parallel -j2 --joblog $folder/log true")"
  show "GNU parallel --resume, nothing to do" "$(seconds sh -c "seq 1000 | parallel -j2 --joblog $folder/log --resume true")"
fi
if command -v ninja >/dev/null; then
  {
    printf 'rule touch\n  command = touch $out\n'
    for i in $(seq 10000); do printf 'build %s/%s: touch\n' "$folder/ninja" "$i"; done
  } > "$folder/build.ninja"
  show "ninja -j2, 10000 jobs" "$(seconds ninja -j2 -f "$folder/build.ninja")"
  show "ninja, nothing to do, 10000 jobs" "$(seconds ninja -j2 -f "$folder/build.ninja")"
fi
