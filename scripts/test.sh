#!/usr/bin/env bash
# Everything a change must pass: set-up, build, every test. Prints a table of stages and ends with ctest's summary line.
#   scripts/test.sh [--long]    --long also builds the threaded tests with ThreadSanitizer and runs them
set -uo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh

long=
case "${1:-}" in
  "") ;;
  --long) long=yes ;;
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
stage set-up 900 scripts/setup.sh || finish "$log"
stage build 1500 build cpu || finish "$log"
stage build-asan 1500 build asan terrace_tests && builds+=(asan)  # memory errors and undefined behaviour, every unit test
if [ "$long" ]; then  # data races, where there are threads
  stage build-tsan 900 build tsan terrace_tests && builds+=(tsan)
else
  echo "tsan: left to scripts/test.sh --long"
fi
stage build-fuzz 1200 build fuzz && builds+=(fuzz)                # hostile files, requests and configurations, 15 s each
stage tests 1800 run_tests "${builds[@]}"
finish "$log"
