#!/usr/bin/env bash
# bench.sh: how fast assay is, beside the literal computation and the machine's own rates in the same run.
#
#   tools/bench.sh                        every figure but training steps of real size: 5 minutes, 3 GB
#   tools/bench.sh --full                 those too: 4 minutes more, 8 GB
#   tools/bench.sh --quick                everything that takes seconds, once: does it run? One minute
#   tools/bench.sh --filter 'exact|map'   only benches of these names; 'runner': what the runner itself costs
#   tools/bench.sh --json FILE            also writes the figures
#   tools/bench.sh --python PYTHON        with ADEval, where this python has `adeval` (pip install adeval)
#   tools/bench.sh --compare OLD NEW      what got worse beyond noise between two such files; then exits with 1
#
# tools/bench/README.md says what each figure is. Builds build/release first.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { printf 'bench: error: %s\n' "$*" >&2; exit 2; }

filter='.*' json='' python='' scale=() compare=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick | --full) scale=("$1"); shift ;;
    --filter | --json | --python)
      [ $# -ge 2 ] || fail "$1 needs a value"
      declare "${1#--}=$2"; shift 2 ;;
    --compare)
      [ $# -ge 3 ] || fail "--compare needs two files that --json wrote"
      compare=("$2" "$3"); shift 3 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) fail "'$1' is not an option; see tools/bench.sh --help" ;;
  esac
done

benches=(evaluator_bench features_bench methods_bench)
build=build/release
[ -d $build ] || { tools/setup.sh; cmake --preset release >/dev/null; }
if [ ${#compare[@]} -gt 0 ]; then
  cmake --build --preset release --target bench-table >/dev/null
  exec $build/bench-table compare "${compare[@]}"
fi
cmake --build --preset release --target bench-table assay assay-worker plan_bench "${benches[@]}" >&2

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
facts=("cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "cores=$(nproc)"
       "load=$(cut -d' ' -f1 /proc/loadavg)" "commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)")
[ -z "$python" ] || export ASSAY_BENCH_IMAGES=$results/images.safetensors
for bench in "${benches[@]}"; do
  printf 'bench: %s\n' "$bench" >&2
  $build/"$bench" "${scale[@]}" --benchmark_filter="$filter|^machine/" \
    --benchmark_out="$results/$bench.json" --benchmark_out_format=json >"$results/log" 2>&1 ||
    { cat "$results/log" >&2; fail "$bench failed"; }
done
if [ -n "$python" ]; then
  "$python" tools/bench/time_adeval.py "$ASSAY_BENCH_IMAGES" > "$results/adeval.json" || fail "ADEval did not run"
fi
$build/bench-table table ${json:+--json "$json"} "${facts[@]/#/--machine=}" "$results"/*.json
if [[ runner =~ $filter && ${scale[0]:-} != --quick ]]; then
  printf '\n'
  tools/bench_runner.sh
fi
