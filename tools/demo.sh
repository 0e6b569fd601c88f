#!/usr/bin/env bash
# demo.sh: from a fresh clone to a table: sets up, builds, draws the synthetic sets, encodes, trains, evaluates.
# Two to four minutes of set-up once, five of building, at most eight for the study on 2 cores. Interrupted, the
# same command goes on. Leaves in demo/:
#
#   data/        the drawn sets synth-a (auxiliary) and synth-b (target)
#   workspace/   store.db, features, jobs
#   table.md     the table
#   heatmaps/    photo, outlined ground truth and anomaly map of some test images, a folder a row of the table
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - began)) >&2; }

step "set-up"
tools/setup.sh

step "build"
cmake --preset release >/dev/null
cmake --build --preset release --target assay assay-worker >&2

assay=build/release/assay
study=experiments/demo.toml
step "drawing synth-a and synth-b"
"$assay" data synth demo/data

step "the study: encode, train, evaluate"
status=0
"$assay" run "$study" --workspace demo/workspace --ranks 2 >/dev/null || status=$?
[ "$status" -le 1 ] || exit "$status"  # 1: some job failed, the others are in the table.

step "table and heat maps"
"$assay" table "$study" --workspace demo/workspace --format markdown > demo/table.md
"$assay" heatmaps "$study" --workspace demo/workspace --out demo/heatmaps --count 4

printf '\n'
"$assay" table "$study" --workspace demo/workspace
cat <<END

The table is in demo/table.md, heat maps are in demo/heatmaps/. What to type next:

  $assay run $study --workspace demo/workspace K=3            # another value: only what is new runs
  $assay table $study --workspace demo/workspace K=3          # the table of that run
  $assay table $study --workspace demo/workspace --format latex
  $assay plan $study --workspace demo/workspace               # what is done, what is shared
  $assay status --workspace demo/workspace
  $assay methods faprompt                                     # every switch, paper against release
  sqlite3 -header demo/workspace/store.db 'select * from metric_values limit 5'
  $assay doctor
END
exit "$status"
