# SmolLM2 on the simulated device: a prompt of five tokens and two answers of the greedy kind, the same as the CPU's. Half a minute of CPU time; with TERRACE_LONG_TESTS=1 on two ranks too.
source "$(dirname "$0")/lib.sh"
needs_model
needs_simulated_device
ask=("$TERRACE" run "$TERRACE_TEST_MODEL" --raw -p "The capital of France is" --max-tokens 2 --progress none --set cache.device=4MiB
  --set scheduler.max_tokens_per_step=16 --set scheduler.max_sequences=2)

expect 0 "${ask[@]}" --set backend=cpu
cp "$work/out" "$work/wanted"
says out "Paris"
export CUDASIM_LEAKS=1
setups=("")
[ -z "${TERRACE_LONG_TESTS:-}" ] || setups+=("--set parallel.ranks=2" "--set numerics=invariant")
for setup in "${setups[@]}"; do
  timeout 220 "${ask[@]}" --set backend=cuda $setup >"$work/out" 2>"$work/err" || fail "exit $? with '$setup': $(cat "$work/err")"
  cmp -s "$work/out" "$work/wanted" || fail "the simulated device says '$(cat "$work/out")'"
done
done_testing
