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

# Documents that the device has no room for come back from the host, and in a second run from the disk.
python3 - >"$work/questions.jsonl" <<'PYTHON'
import json
for question in range(2):
    for document in range(3):
        text = " ".join(f"Line {line} of document {document}." for line in range(150))
        print(json.dumps({"custom_id": f"{document}-{question}", "method": "POST", "url": "/v1/completions",
                          "body": {"model": "m", "prompt": f"{text} Question {question}:", "max_tokens": 2, "temperature": 0}}))
PYTHON
for run in 1 2; do
  expect 0 "$TERRACE" batch "$TERRACE_SOURCE_DIR/configs/long-documents.yaml" --input "$work/questions.jsonl" --output "$work/answers$run.jsonl" \
    --set cache.device=40MiB --set cache.disk.size=400MiB --set scheduler.max_sequences=1 --set cache.fetch=always
  cp "$work/err" "$work/summary$run"
done
grep -q "[1-9][0-9]* on the host" "$work/summary1" || fail "nothing came from the host: $(cat "$work/summary1")"
grep -q "[1-9][0-9]* on disk" "$work/summary2" || fail "nothing came from the disk: $(cat "$work/summary2")"
done_testing
