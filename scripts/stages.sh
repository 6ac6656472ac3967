# Sourced by test.sh and demo.sh: stages with a time limit each, and the table of what they took.

stage_table=()
failed_stages=0
stage_pid=

use_ccache_if_there() {
  if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_SLOPPINESS=pch_defines,time_macros; fi
}

# stage NAME SECONDS COMMAND...: COMMAND may be a shell function. Its whole process group ends at the limit, or with this script.
stage() {
  local name=$1 limit=$2 status=0 began=$SECONDS note=passed
  shift 2
  printf '\n== %s ==\n' "$name"
  export -f $(declare -F | cut -d' ' -f3)
  timeout --kill-after=10 "$limit" bash -c '"$@"' stage "$@" &
  stage_pid=$!
  trap 'kill -TERM "$stage_pid" 2>/dev/null; exit 130' INT TERM
  wait "$stage_pid" || status=$?
  trap - INT TERM
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    note="FAILED: over its limit of $limit s"
  elif [ "$status" -ne 0 ]; then
    note="FAILED: exit $status"
  fi
  [ "$status" -eq 0 ] || failed_stages=$((failed_stages + 1))
  stage_table+=("$(printf '%-12s %5d s   %s' "$name" $((SECONDS - began)) "$note")")
  return "$status"
}

# finish LOG: the table, what ctest skipped and why, and its summary as the last line.
finish() {
  local log=$1
  printf '\n== summary ==\n'
  printf '%s\n' "${stage_table[@]}"
  if grep -q 'Skipped' "$log"; then
    echo "skipped:"
    sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \(.*[^ .]\) *\.*\*\*\*Skipped.*/  \1/p' "$log"
  fi
  grep -E '^[0-9]+% tests passed' "$log" || echo "no tests were run"
  exit $((failed_stages > 0))
}
