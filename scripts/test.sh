#!/usr/bin/env bash
# Everything a change must pass: set-up, build, every test. Prints a table of stages and ends with ctest's summary line.
#   scripts/test.sh          half an hour on two cores with ccache warm, an hour on a fresh machine
#   scripts/test.sh --long   also every fault of the simulated device, and more seeds of it: an hour more
set -uo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh

test_limit=2700
case "${1:-}" in
  "") ;;
  --long) export TERRACE_LONG_TESTS=1 TERRACE_CUDASIM_SEEDS="1 2 3 4"; test_limit=10000 ;;
  *) echo "usage: scripts/test.sh [--long]" >&2; exit 2 ;;
esac

export log=$(mktemp)
trap 'rm -f "$log"' EXIT
export jobs=$(nproc)

build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" ${@:+--target "$@"}
}
# One ctest run over every build folder, so that there is one summary.
run_tests() {
  printf 'subdirs(%s)\n' "$*" >build/CTestTestfile.cmake
  ctest --test-dir build -j "$jobs" --output-on-failure --no-tests=error 2>&1 | tee "$log"
  return "${PIPESTATUS[0]}"
}

use_ccache_if_there
builds=(cpu)
stage set-up 900 scripts/setup.sh --with-cuda --with-clients || finish "$log"
stage build 1500 build cpu || finish "$log"
stage build-asan 2400 build asan && builds+=(asan)  # memory errors and undefined behaviour: every unit test, and 15 s of each fuzzer
stage build-tsan 1200 build tsan terrace_tests && builds+=(tsan)  # data races, where there are threads
stage tests $test_limit run_tests "${builds[@]}"
finish "$log"
