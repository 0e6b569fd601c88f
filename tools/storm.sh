#!/usr/bin/env bash
# storm.sh: kills real processes of a real study at random moments, gives the same command again, and compares the
# final table and every checkpoint, score and result with a run that nobody disturbed.
#
#   tools/storm.sh [--rounds N] [--seed S]       N kills (default 200); needs build/release
#
# Victims: the coordinator, one rank, mpirun, or all at once; now and then in the moment in which a file is being written.
# Says at the end what was killed, how often the study was finished, and what differed. Exit 1 where anything did.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=200 seed=$$
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
  esac
done
RANDOM=$seed
assay=$PWD/build/release/assay
[ -x "$assay" ] || { echo "$assay: is not built; tools/demo.sh builds it" >&2; exit 2; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/assay-storm-XXXXXX")
run_pid=
cleanup() {
  [ -z "$run_pid" ] || kill -9 "$run_pid" 2>/dev/null || true
  for pid in $(pgrep -f "$folder" || true); do [ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap cleanup EXIT

cat > "$folder/storm.toml" <<'TOML'
schema     = 1
name       = "storm"
backbone   = "assay-tiny"
image_size = 64
train_on   = "synth-a"
targets    = ["synth-b"]
seeds      = [0, 1]
[[sweep]]
method = "clip"
[[sweep]]
method = "anomalyclip"
grid   = { "train.epochs" = [4] }
TOML
"$assay" data synth "$folder/data" --images 4 --image-size 64 2>/dev/null

start() {  # start WORKSPACE RANKS
  setsid "$assay" run "$folder/storm.toml" -w "$1" --data "$folder/data" --slots 2 --ranks "$2" \
    >"$folder/out.txt" 2>>"$folder/err.txt" &
  run_pid=$!
}
state() {  # Everything that must not depend on what was killed when.
  "$assay" table "$folder/storm.toml" -w "$1" --data "$folder/data" --format csv
  (cd "$1" && find jobs -name checkpoint.safetensors -o -name scores.h5 | sort | xargs sha256sum)
  (cd "$1" && find jobs -mindepth 2 -maxdepth 2 -name "*.json" | sort | xargs grep -vE '"(attempt|ranks|resumed)"')
}
now_ms() { date +%s%3N; }
writing() { compgen -G "$work/jobs/*/*.partial" >/dev/null || compgen -G "$work/jobs/*/*/*.partial" >/dev/null; }
any_of() { local list=("$@"); [ ${#list[@]} -eq 0 ] || echo "${list[RANDOM % ${#list[@]}]}"; }
# shellcheck disable=SC2046
victims() {  # victims KIND: process ids
  case $1 in
    coordinator) echo "$run_pid" ;;
    rank) any_of $(pgrep -f "assay-worker gang --folder $folder" || true) ;;
    mpirun) any_of $(pgrep -f "(mpirun|mpiexec) .*$folder" || true) ;;
    all) pgrep -f "$folder/" || true ;;
  esac
}

begun=$(now_ms)
start "$folder/calm" 2
wait "$run_pid"
usual=$(($(now_ms) - begun))
state "$folder/calm" > "$folder/calm.txt"
echo "undisturbed: $usual ms, $(wc -l < "$folder/calm.txt") lines to compare"

declare -A killed=([coordinator]=0 [rank]=0 [mpirun]=0 [all]=0)
finished=0 differences=0 orphans=0 writes=0 starts=0 failures=0
work=$folder/work
run_pid=
finish() {  # The study has ended: is all as it would have been?
  state "$work" > "$folder/now.txt"
  if ! cmp -s "$folder/calm.txt" "$folder/now.txt"; then
    differences=$((differences + 1))
    diff "$folder/calm.txt" "$folder/now.txt" | head -5
  fi
  finished=$((finished + 1))
  rm -rf "$work"
}
running() { [ -n "$run_pid" ] && kill -0 "$run_pid" 2>/dev/null; }
reap() {
  local code=0
  wait "$run_pid" 2>/dev/null || code=$?
  run_pid=
  if [ "$code" = 0 ]; then finish; elif [ "$code" -lt 128 ]; then
    failures=$((failures + 1))
    echo "exit $code:"; tail -3 "$folder/err.txt"
  fi
}
for ((round = 1; round <= rounds; )); do
  if ! running; then
    [ -z "$run_pid" ] || reap
    start "$work" $((1 + RANDOM % 2))
    starts=$((starts + 1))
  fi
  if [ $((RANDOM % 4)) = 0 ]; then
    deadline=$(($(now_ms) + usual))
    while [ "$(now_ms)" -lt $deadline ] && ! writing; do :; done
    ! writing || writes=$((writes + 1))
  else
    sleep "$(printf '%d.%03d' $((RANDOM * usual / 32768 / 1000)) $((RANDOM % 1000)))"
  fi
  running || continue
  kinds=(coordinator rank mpirun all)
  kind=${kinds[RANDOM % 4]}
  hit=$(victims "$kind")
  [ -n "$hit" ] || continue
  # shellcheck disable=SC2086
  kill -9 $hit 2>/dev/null || true
  killed[$kind]=$((killed[$kind] + 1))
  round=$((round + 1))
  if [ "$kind" = coordinator ] || [ "$kind" = all ]; then
    reap
    for _ in $(seq 100); do pgrep -f "$folder/" >/dev/null || break; sleep 0.1; done
    left=$(pgrep -f "$folder/" | wc -l || true)
    [ "$left" = 0 ] || { orphans=$((orphans + left)); pgrep -af "$folder/"; }
  fi
done
if [ -n "$run_pid" ]; then reap; fi
if [ -e "$work" ]; then start "$work" 2; starts=$((starts + 1)); reap; fi
echo "$rounds kills: coordinator ${killed[coordinator]}, rank ${killed[rank]}, mpirun ${killed[mpirun]}, all ${killed[all]}; $writes while a file was written"
echo "$starts starts, $finished studies finished, $failures runs failed, $differences differences, $orphans orphans (seed $seed)"
[ $((failures + differences + orphans)) = 0 ] && [ "$finished" -gt 0 ]
