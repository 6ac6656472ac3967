# Each call of CUDA, cuBLAS and NCCL in a short run fails once (the simulator sees to it): no hang, no crash, no leak, and a sentence that names the rank and what failed. A sample of
# the calls; TERRACE_LONG_TESTS=1 takes all of one rank's, and every fifth of a pair's.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
needs_simulated_device
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: apt install openmpi-bin)"; exit 77; }
export CUDASIM_NCCL_TIMEOUT=20

"$(dirname "$TERRACE")/tiny_model_writer" "$work/tiny.gguf" F16 || fail "the tiny model was not written"
ask=("$TERRACE" run "$work/tiny.gguf" --raw -p he --max-tokens 2 --ignore-eos --progress none --set backend=cuda --set cache.device=1MiB --set scheduler.max_tokens_per_step=8)
calls_of() { grep -oE '[0-9]+ API calls' "$work/err" | sort -n | tail -1 | cut -d' ' -f1; }

# judge CALL COMMAND...: how a run with that call failing has ended. A call whose failure does no harm (giving back what is no longer needed) may pass if the answer is right.
judge() {
  local call=$1
  shift
  run "$@"
  named=$(grep -oE "cudasim: call $call \([A-Za-z_ ]+" "$work/err" | head -1 | sed 's/.*(//')
  case $status in
    124 | 137) fail "call $call ($named): the run hangs"; return ;;
    86) fail "call $call ($named): the simulator found a leak or a wrong use: $(cat "$work/err")"; return ;;
    0) cmp -s "$work/out" "$work/wanted" || fail "call $call ($named) has failed, nobody says so and the answer is another: $(cat "$work/err")"; return ;;
    1 | 2 | 4 | 6) grep -qE 'error: .*(failed|given up|ended)' "$work/err" || fail "call $call ($named): no sentence: $(cat "$work/err")" ;;
    *) fail "call $call ($named): exit $status: $(cat "$work/err")" ;;
  esac
}

export CUDASIM_LEAKS=1
expect 0 env CUDASIM_COUNT_CALLS=1 "${ask[@]}"
cp "$work/out" "$work/wanted"
total=$(calls_of)
[ "${total:-0}" -gt 100 ] || fail "only ${total:-0} calls were counted"
step=$((${total:-100} / 16))
[ -z "${TERRACE_LONG_TESTS:-}" ] || step=1
for ((call = 1; call <= total; call += step)); do judge $call env CUDASIM_FAIL_CALL=$call "${ask[@]}"; done
echo "one rank: every ${step}. of $total calls"

# Two ranks: one's call fails, the other must neither hang nor speak first.
expect 0 env CUDASIM_COUNT_CALLS=1 mpirun -n 2 "${ask[@]}"
total=$(calls_of)
step=$((${total:-100} / 6))
[ -z "${TERRACE_LONG_TESTS:-}" ] || step=5
for ((call = 4; call <= total; call += step)); do
  judge $call mpirun -n 1 "${ask[@]}" : -n 1 env CUDASIM_FAIL_CALL=$call "${ask[@]}"
  [ $status -eq 0 ] || grep -q 'rank 1' "$work/err" || fail "call $call: the rank is not named: $(cat "$work/err")"
done
echo "two ranks: every ${step}. of $total calls"

# Whatever goes wrong while the devices' memory is opened to each other, sums go by NCCL, and rank 0 says why.
opening=0
for ((call = 15; call <= 40; call++)); do
  judge $call mpirun -n 1 "${ask[@]}" : -n 1 env CUDASIM_FAIL_CALL=$call "${ask[@]}"
  [ $status -ne 0 ] || { opening=$((opening + 1)) && says err "sums between ranks go by NCCL alone: "; }
  [ "$named" != cudaIpcOpenMemHandle ] || break
done
[ "$named" = cudaIpcOpenMemHandle ] && [ $opening -ge 8 ] || fail "the calls that open the devices' memory are not among those from 15 to 40 ($opening, $named)"

# Ranks as threads share the count; a sum that fails on the device ends both.
expect 0 env CUDASIM_COUNT_CALLS=1 "${ask[@]}" --set parallel.ranks=2
total=$(calls_of)
for call in $((total / 3)) $((total * 2 / 3)) $((total * 5 / 6)); do judge $call env CUDASIM_FAIL_CALL=$call "${ask[@]}" --set parallel.ranks=2; done
done_testing
