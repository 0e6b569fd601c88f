#!/usr/bin/env bash
# test.sh: sets up, builds with warnings as errors and runs every test. What CI runs.
#
#   build/release    everything; ctest runs unit tests, goldens (label golden), tests under mpirun, whole studies
#   build/asan       tests that need no LibTorch under AddressSanitizer and UndefinedBehaviorSanitizer
#   build/tsan       those of them with threads under ThreadSanitizer
#
# ASSAY_GOLDEN_DIR=FOLDER tests more golden files; ASSAY_DATA_DIR=FOLDER tries the loaders on real data sets.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
sanitized=(core datasets metrics results runner runner_plan simulation synth)
threaded=(core datasets metrics)
step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - began)); }

step "set-up"
tools/setup.sh --tests

if command -v clang-format >/dev/null; then
  step "format"
  git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run -Werror
fi

step "build"
cmake --preset release >/dev/null
cmake --build --preset release
cmake --preset asan >/dev/null
cmake --build --preset asan --target "${sanitized[@]/%/_test}"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target "${threaded[@]/%/_test}"

step "tests"
ctest --preset release
step "tests under sanitizers"
ctest --preset asan -R "^($(IFS='|'; echo "${sanitized[*]}"))$"
ctest --preset tsan -R "^($(IFS='|'; echo "${threaded[*]}"))$"
step "storm"
tools/storm.sh --rounds 5 --seed 1
step "done"
