#!/usr/bin/env bash
# bench_runner.sh: what the runner itself costs, in whole processes: jobs that do nothing but leave a durable result,
# beside the bare loop that makes a file durable on the same disk, and beside ninja and GNU parallel where they are
# installed. Part of tools/bench.sh.
#
#   tools/bench_runner.sh [FOLDER]     FOLDER: on the disk to be measured (default: the system's temporary one)
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
over() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f times the bare loop", a / b }'; }

bare=$(per_job -w "$folder/bare" --jobs 2000 --bare)
show "bare loop: write, fsync, rename, fsync of the folder" "$bare ms"
for jobs in 100 1000 10000; do
  cost=$(per_job -w "$folder/w$jobs" --jobs "$jobs" --slots 2)
  show "a job of $jobs, two gangs, start of the gangs included" "$cost ms" "$(over "$cost" "$bare")"
done
show "the same command again, nothing to do, 10,000 jobs" \
  "$(ms "$assay" bench-runner -w "$folder/w10000" --jobs 10000) ms" "goal 70"
show "assay status, 10,000 jobs" "$(ms "$assay" status -w "$folder/w10000") ms" "goal 300"

"$assay" data synth "$folder/data" --images 1 --image-size 64 >/dev/null 2>&1
{
  printf 'schema = 1\nname = "plan"\nbackbone = "assay-tiny"\ntrain_on = "synth-a"\ntargets = ["synth-b"]\n'
  printf 'data = { default = "%s" }\nseeds = [%s]\n' "$folder/data" "$(seq -s, 0 8332)"
  printf '[[sweep]]\nmethod = "anomalyclip"\n[[sweep]]\nmethod = "faprompt:paper"\ngrid = { K = [1, 5, 10, 15, 20] }\n'
} > "$folder/plan.toml"
show "assay plan, $("$assay" plan "$folder/plan.toml" -w "$folder/w10000" --json | sed -n 's/^ *"jobs": \([0-9]*\),*/\1/p' |
  awk '{ sum += $1 } END { print sum }') jobs, beside a store of 10,000" \
  "$(ms "$assay" plan "$folder/plan.toml" -w "$folder/w10000") ms" "goal 1000"

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
