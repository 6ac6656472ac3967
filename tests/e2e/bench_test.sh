# `terrace bench` on the real model: each format on stdout and nothing else there, ranks, what does not fit, Ctrl-C.
# needs: mpirun
source "$(dirname "$0")/lib.sh"

expect 0 "$TERRACE" bench --help
says out "Examples:"
expect 2 "$TERRACE" bench
says err "CONFIG"
expect 2 "$TERRACE" bench x.yaml --depth 1,x
says err "--depth: expected whole numbers from 0"
expect 2 "$TERRACE" bench x.yaml --batch-shape 128
says err "--batch-shape"
expect 2 "$TERRACE" bench x.yaml --format xml
silent out

printf 'model:\n  load: dummy\n' >"$work/dummy.yaml"
expect 0 env TERRACE_ISA=scalar "$TERRACE" bench "$work/dummy.yaml" --prompt 8 --depth none --batch none --repeat 1 --progress none --format markdown
says out "cpu scalar"
says out "portable C++"
says out "| prefill 8 |"

expect 0 "$TERRACE" bench techniques "$work/dummy.yaml" --quick --markdown --plot "$work/plot.svg" --progress none
for technique in "KV cache" "continuous batching" "paged KV cache" "flash-tiled attention" "grouped-query attention"; do says out "| $technique |"; done
silent err
grep -q '<polyline' "$work/plot.svg" || fail "the plot has no line"
expect 0 "$TERRACE" bench techniques "$work/dummy.yaml" --quick --only paging,heads --progress none
[ "$(grep -c '^[a-z].*: ' "$work/out")" -eq 2 ] || fail "--only has shown others: $(cat "$work/out")"
expect 2 "$TERRACE" bench techniques "$work/dummy.yaml" --only pages
says err "--only"
expect 5 "$TERRACE" bench techniques "$work/dummy.yaml" --quick --plot /no/such/folder/plot.svg --progress none

# Two prompts behind one page, then the first again: four frames hold all, so 1 page is found, then 3.
printf '{"timestamp": 0, "hash_ids": [0, 1, 2]}\n{"hash_ids": [0, 3]}\n{"hash_ids": [0, 1, 2]}\n' > "$work/trace.jsonl"
expect 0 "$TERRACE" bench cache --trace "$work/trace.jsonl" --pages 4 --policy lru --json --progress none
says out '{"pages":4,"bound":4,"hits":{"lru":4}}'
expect 2 "$TERRACE" bench cache --trace "$work/trace.jsonl" --policy fifo
printf '{"hash_ids": [0]}\n{}\n' > "$work/trace.jsonl"
expect 2 "$TERRACE" bench cache --trace "$work/trace.jsonl"
says err "line 2"

needs_model
tiny=(--prompt 32 --decode 4 --depth 0,9000 --batch 2 --batch-shape 8+4 --repeat 1 --progress none)
expect 0 "$TERRACE" bench "$TERRACE_TEST_MODEL" "${tiny[@]}"
says out "from the process's start: "
says out "prefill 32 "
says out "decode 4 at 0 "
says out "batch 2 of 8+4, generated "
says out "decode 4 at 9000: left out, 9000 tokens and 5 generated exceed the model's context of 8192"
silent err

expect 0 mpirun -n 2 "$TERRACE" bench "$TERRACE_TEST_MODEL" "${tiny[@]}" --format json
python3 - "$work/out" <<'PY' || fail "the JSON is not as it should be: $(cat "$work/out")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["ranks"] == 2 and report["load"]["since"] == "mpirun" and report["load"]["first_token_s"] > report["load"]["loaded_s"] > 0
kinds = [result["kind"] for result in report["results"]]
assert kinds == ["prefill", "decode", "decode", "batch"], kinds
assert "skipped" in report["results"][2]
assert all(f["median"] > 0 and f["bound"] > 0 for r in report["results"] for f in r["tokens_per_s"])
PY

one=(--prompt 32 --depth none --batch none --repeat 1 --progress none)
expect 0 "$TERRACE" bench "$TERRACE_TEST_MODEL" "${one[@]}" --ranks 1,2 --threads 1,1024
says out "1 rank x 1 thread "
says out "2 ranks x 1 thread "
says out "1 rank x 1024 threads: left out, this host has "
silent err
expect 2 mpirun -n 2 "$TERRACE" bench "$TERRACE_TEST_MODEL" "${one[@]}" --threads 1,2
says err "without mpirun"

# interrupt CODE COMMAND...: Ctrl-C while it measures gives a report and this exit code.
interrupt() {
  local code=$1 pid
  shift
  timeout 100 env --default-signal=INT "$@" bench "$TERRACE_TEST_MODEL" --depth 0 --decode 8000 --prompt none --batch none --progress plain >"$work/out" 2>"$work/err" &
  pid=$!
  for _ in $(seq 600); do grep -q "rank 0" "$work/err" && break; sleep 0.1; done
  says err "rank 0"
  pkill -INT --parent "$pid"
  wait "$pid"
  [ $? -eq "$code" ] || fail "Ctrl-C does not end with $code: $*"
  says err "interrupted"
  says out " of cpu"
}
interrupt 130 "$TERRACE"
export OMPI_MCA_odls_base_sigkill_timeout=4  # mpirun passes the signal on after so long, and kills after as long again
interrupt 1 mpirun -n 2 "$TERRACE"
done_testing
