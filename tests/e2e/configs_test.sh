# The shipped configurations start: the 70B ones with random weights of their true widths, two layers, two ranks.
source "$(dirname "$0")/lib.sh"

for config in llama-3-70b-8xh100 llama-3-70b-2-nodes; do
  dummy=("$TERRACE_SOURCE_DIR/configs/$config.yaml" --set model.load=dummy --set model.geometry.layers=2)
  expect 0 "$TERRACE" run "${dummy[@]}" --set parallel.ranks=2 --set cache.device=64MiB --set scheduler.max_tokens_per_step=16 \
    --raw -p "hello" --max-tokens 3
  [ "$(wc -w <"$work/out")" -eq 3 ] || fail "expected three ids: $(cat "$work/out")"
  expect 0 "$TERRACE" run "${dummy[@]}" --explain
  for text in "KV cache:" "weights" "tier device:" "rank 7:"; do says out "$text"; done
done
needs_model
export TERRACE_CACHE="$work/cache"
mkdir -p "$TERRACE_CACHE/models"
ln -s "$TERRACE_TEST_MODEL" "$TERRACE_CACHE/models/SmolLM2-135M-Instruct.Q4_1.gguf"
expect 0 "$TERRACE" run "$TERRACE_SOURCE_DIR/configs/smollm2.yaml" -p "Hi" --max-tokens 2
expect 0 "$TERRACE" run "$TERRACE_SOURCE_DIR/configs/smollm2.yaml" --explain
says out "22.5 KiB per token"
done_testing
