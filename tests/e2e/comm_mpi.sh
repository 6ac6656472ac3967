#!/usr/bin/env bash
# One property of ranks as processes: comm_mpi.sh DRIVER MODE RANKS HOSTS  (HOSTS > 1: pretended ones)
# Checks the driver's exit code, what was printed how often, how long it took, and that no process and no file in /dev/shm is left.
set -uo pipefail
driver=$1 mode=$2 ranks=$3 hosts=$4
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: apt install openmpi-bin)"; exit 77; }
export OMPI_MCA_odls_base_sigkill_timeout=1  # mpirun waits twice as long in each of the failing modes
. "$(dirname "$0")/../../scripts/mpi_env.sh"

# Shared memory between the pretended hosts would need no help, and TCP leaves loopback out unless told otherwise.
[ "$mode" != large_plan ] || export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=lo

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; echo "--- output"; cat "$work/out" "$work/err"; exit 1; }

# Open MPI's; terrace's own window has no name. Older ones are another job's.
shm_files() { find /dev/shm -mindepth 1 -user "$(id -u)" -name 'vader*' -newer "$work/start" 2>/dev/null; }
# Processes of the session that mpirun leads, zombies apart (whoever adopted them reaps them).
session_alive() {
  local stat rest
  for stat in /proc/[0-9]*/stat; do
    rest=$(cat "$stat" 2>/dev/null) || continue
    rest=${rest##*) }  # state ppid pgrp session ...
    set -- $rest
    if [ "${4:-}" = "$session" ] && [ "$1" != Z ]; then echo "${stat//[^0-9]/}"; fi
  done
}
expect_times() {  # expect_times N TEXT
  local found
  found=$(cat "$work/out" "$work/err" | grep -c -F "$2")
  [ "$found" = "$1" ] || fail "'$2' printed $found times, expected $1"
}

: >"$work/start"
SECONDS=0
setsid bash -c 'echo $$ >"$0/session"; exec mpirun "$@"' "$work" -n "$ranks" "$driver" "$mode" "$hosts" >"$work/out" 2>"$work/err" </dev/null &
wait $!
code=$?
took=$SECONDS
session=$(cat "$work/session")

expect_code() { [ "$code" = "$1" ] || fail "exit code $code, expected $1"; }
case $mode in
  check) expect_code 0; expect_times 1 "checked $ranks ranks mpi=true" ;;
  die)
    # mpirun reports the victim's signal (128 + 9) unless a survivor's 6 reaches it first.
    [ "$code" = 137 ] || expect_code 6
    expect_times 1 "died in step 5"
    expect_times 1 "rank $((ranks - 1)) (pid "
    [ "$took" -le 10 ] || fail "took $took s"
    ;;
  abort | abort_busy) expect_code 5; expect_times 1 "the disk is full" ;;
  same_error) expect_code 2; expect_times 1 "model.path does not exist" ;;
  other_code) expect_code 3 ;;
  large_plan) expect_code 0; expect_times $((ranks - 1)) "the plan came at once" ;;
  leave_apart) expect_code 0; expect_times 0 "died" ;;
  idle)
    expect_code 0
    expect_times "$ranks" "idle cpu"
    # A waiting rank may use 2 % of a core; six times that here, for a busy machine.
    awk '/idle cpu/ && $3 > 0.12 { exit 1 }' "$work/out" || fail "a waiting rank is not idle"
    ;;
  *) fail "unknown mode $mode" ;;
esac

for ((i = 0; i < 20; ++i)); do
  left=$(session_alive; shm_files)
  [ -z "$left" ] && break
  sleep 0.25
done
[ -z "$left" ] || fail "left behind: $left"
cat "$work/out"
echo "$mode with $ranks ranks on $hosts hosts: exit code $code after $took s"
