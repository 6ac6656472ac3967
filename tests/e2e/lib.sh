# Sourced by the e2e tests: runs commands, compares exit codes and output, and says what differs. ctest sets TERRACE (the executable),
# TERRACE_SOURCE_DIR and, where the demo model is there, TERRACE_TEST_MODEL.
set -uo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/terrace_e2e.XXXXXX")
trap 'rm -rf "$work"' EXIT
source "$TERRACE_SOURCE_DIR/scripts/mpi_env.sh"
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run COMMAND...: leaves $work/out, $work/err and $status; ends with a failure after 100 s.
run() {
  timeout 100 "$@" >"$work/out" 2>"$work/err"
  status=$?
}

# expect STATUS COMMAND...
expect() {
  local wanted=$1
  shift
  run "$@"
  [ "$status" -eq "$wanted" ] || fail "exit $status instead of $wanted: $*"$'\n'"$(cat "$work/err")"
}

# says FILE(out|err) TEXT: the text stands in it.
says() { grep -qF -- "$2" "$work/$1" || fail "'$2' is not in std$1:"$'\n'"$(cat "$work/$1")"; }
# prints TEXT: stdout is exactly this.
prints() { [ "$(cat "$work/out")" = "$1" ] || fail "stdout is not '$1' but:"$'\n'"$(cat "$work/out")"; }
silent() { [ ! -s "$work/$1" ] || fail "std$1 should be empty:"$'\n'"$(cat "$work/$1")"; }

needs_model() {
  [ -n "${TERRACE_TEST_MODEL:-}" ] && [ -f "$TERRACE_TEST_MODEL" ] && return
  echo "skipped: the demo model is not here (scripts/setup.sh fetches it)"
  exit 77
}

# From here on `backend: cuda` is the simulated device (tests/cudasim).
needs_simulated_device() {
  export TERRACE_CUDA_MODULE=$(dirname "$TERRACE")/libterrace_cudasim.so
  [ -f "$TERRACE_CUDA_MODULE" ] && return
  echo "skipped: the simulated CUDA module was not built (it needs CUDA's headers, clang++-14 and Boost.Context)"
  exit 77
}

done_testing() {
  [ "$failures" -eq 0 ] && echo "all as expected"
  exit $((failures > 0))
}
