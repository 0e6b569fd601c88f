#!/usr/bin/env bash
# check.sh: what to run on a machine with NVIDIA GPUs, the first time and after every change of what a GPU runs.
# Builds, compares the GPUs with the CPU (assay doctor --gpus), trains and evaluates one model of the demo on each.
# Ten minutes, of which most go into the build. Its figures belong into tools/gpu/README.md.
#
#   ASSAY_BUILD=FOLDER   uses assay, assay-worker and libassay_cuda.so of this folder and builds nothing
set -euo pipefail
cd "$(dirname "$0")/../.."
began=$SECONDS
step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - began)); }
fail() { printf 'check: error: %s\n' "$*" >&2; exit 1; }

step "machine"
command -v nvidia-smi >/dev/null || fail "no nvidia-smi here: this is for a machine with an NVIDIA driver"
nvidia-smi --query-gpu=index,name,driver_version,memory.total,compute_cap,mig.mode.current --format=csv

build=${ASSAY_BUILD:-build/release}
if [ -z "${ASSAY_BUILD:-}" ]; then
  step "set-up and build"
  tools/setup.sh
  cmake --preset release | grep -i -e cuda -e nccl || true
  cmake --build --preset release
fi
[ -e "$build/libassay_cuda.so" ] || fail "$build/libassay_cuda.so was not built: see what cmake says of CudaNccl"
assay=$build/assay

step "doctor"
status=0
"$assay" doctor --gpus || status=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step "demo, one epoch"
"$assay" data synth "$work/data" >/dev/null
# on DEVICE PRECISION: prints losses and metrics, and how long it took.
on() {
  local start=$SECONDS
  printf '%s %s:\n' "$1" "$2"
  "$assay" evaluate faprompt:paper train.epochs=1 --train-on synth-a --on synth-b --data "$work/data" \
    --device "$1" --precision "$2" -w "$work/$1-$2" 2>"$work/log" || { cat "$work/log" >&2; status=1; return 0; }
  grep -h -A1 epoch_losses "$work/$1-$2"/jobs/*/*.json | tail -1 | sed 's/^ */mean loss /'
  printf '%d s\n' $((SECONDS - start))
}
on cpu fp32
on cuda fp32
on cuda tf32
on cuda bf16
exit "$status"
