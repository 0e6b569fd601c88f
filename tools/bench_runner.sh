#!/usr/bin/env bash
# bench_runner.sh: what the runner itself costs, in whole processes: jobs that do nothing but leave a durable result,
# beside the bare loop that makes a file durable on the same disk, and beside ninja and GNU parallel where they are
# installed. Part of tools/bench.sh.
#
#   tools/bench_runner.sh [FOLDER]     FOLDER: on the disk to be measured (default: the system's temporary one)
#
# Not within six minutes after thousands of files were deleted on that disk, as the last run of this does: ext4 without
# a journal looks at each of them whenever it makes a file (recently_deleted, fs/ext4/ialloc.c).
set -euo pipefail
cd "$(dirname "$0")/.."
assay=$PWD/build/release/assay
folder=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/assay-bench-XXXXXX")
trap 'rm -rf "$folder"' EXIT

show() { printf '%-60s %10s  %s\n' "$1" "$2" "${3:-}"; }
# ms COMMAND...: wall time of a whole process, the best of three.
ms() {
  local best='' begun spent
  for _ in 1 2 3; do
    begun=$(date +%s%N)
    "$@" >/dev/null 2>&1
    spent=$(( ($(date +%s%N) - begun) / 1000000 ))
    [ -n "$best" ] && [ "$best" -le "$spent" ] || best=$spent
  done
  echo "$best"
}
# per_job ARGUMENTS...: milliseconds a job, as bench-runner says.
per_job() { "$assay" bench-runner "$@" | sed -n 's/.*, \([0-9.]*\) ms a job/\1/p'; }

# Three times, with the bare loop before and after each: a disk's speed changes within minutes.
bare() { per_job -w "$folder/bare-$1" --jobs 2000 --bare; }
declare -A cost
ratios=()
for round in 1 2 3; do
  before=$(bare "$round-before")
  for jobs in 100 1000 10000; do
    cost[$jobs]=$(per_job -w "$folder/w$jobs-$round" --jobs "$jobs" --slots 2)
  done
  after=$(bare "$round-after")
  show "bare loop: write, fsync, rename, fsync of the folder" "$before, $after ms" "before and after what follows"
  show "a job of 100, of 1,000, of 10,000, two gangs, start included" "${cost[100]}, ${cost[1000]}, ${cost[10000]} ms"
  ratios+=("$(awk -v a="${cost[10000]}" -v b="$before" -v c="$after" 'BEGIN { printf "%.2f", 2 * a / (b + c) }')")
done
show "a job of 10,000 over the bare loop, the middle of three" \
  "$(printf '%s\n' "${ratios[@]}" | sort -n | sed -n 2p)" "goal 1.3; ${ratios[*]}"
show "a job of 10,000 over one of 100" \
  "$(awk -v a="${cost[100]}" -v c="${cost[10000]}" 'BEGIN { printf "%.2f", c / a }')" "goal 1.2"
# Without the start of the gangs, which hides how cost grows; the disk's speed is in it twice.
show "each job of the last 9,000 over each of 900 before" \
  "$(awk -v a="${cost[100]}" -v b="${cost[1000]}" -v c="${cost[10000]}" \
    'BEGIN { printf "%.2f", (10000 * c - 1000 * b) / 9000 / ((1000 * b - 100 * a) / 900) }')"
show "the same command again, nothing to do, 10,000 jobs" \
  "$(ms "$assay" bench-runner -w "$folder/w10000-3" --jobs 10000) ms" "goal 70"
build/release/plan_bench  # plan of 100,000 jobs: goal 1 s, 300 MB; status and table of 10,000: 0.3 s

if command -v parallel >/dev/null; then
  show "GNU parallel -j2 --joblog, 1,000 jobs" "$(ms sh -c "seq 1000 | parallel -j2 --joblog $folder/log true") ms"
  show "GNU parallel --resume, 1,000 jobs, nothing to do" \
    "$(ms sh -c "seq 1000 | parallel -j2 --joblog $folder/log --resume true") ms"
fi
if command -v ninja >/dev/null; then
  {
    printf 'rule touch\n  command = touch $out\n'
    for i in $(seq 10000); do printf 'build done/%s: touch\n' "$i"; done
  } > "$folder/build.ninja"
  begun=$(date +%s%N)
  ninja -C "$folder" -j2 >/dev/null
  show "ninja -j2, 10,000 jobs (nothing durable)" "$(( ($(date +%s%N) - begun) / 1000000 )) ms"
  show "ninja, nothing to do, 10,000 jobs" "$(ms ninja -C "$folder" -j2) ms"
fi
