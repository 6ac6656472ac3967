# `terrace batch` on the real model: killed at any moment and started again it gives what an uninterrupted run gives, each line once.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
needs_model
command -v mpirun >/dev/null || { echo "skipped: no mpirun (Debian: apt install openmpi-bin)"; exit 77; }
export OMPI_MCA_odls_base_sigkill_timeout=1  # mpirun waits all of it after each kill

completion() { echo "{\"custom_id\":\"$1\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{$2}}"; }
chat() {
  echo "{\"custom_id\":\"$1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{\"role\":\"user\",\"content\":\"$2\"}],$3}}"
}
{
  completion paris '"prompt":"The capital of France is","max_tokens":4,"temperature":0,"logprobs":2'
  chat sky "Why is the sky blue?" '"max_tokens":12,"temperature":0'
  echo '{"custom_id":"torn'
  completion sampled '"prompt":"Once upon a time","max_tokens":8'
  completion unknown '"prompt":"a","maxtokens":5'
  completion counted '"prompt":"1 2 3 4 5 6","max_tokens":30,"temperature":0,"stop":[" 9"]'
  completion scored '"prompt":"Hello world","max_tokens":0,"echo":true,"logprobs":1'
  completion choices '"prompt":["One","Two"],"n":2,"max_tokens":6,"seed":7'
  completion too_long '"prompt":"a","max_tokens":100000'
  completion long1 '"prompt":"In the beginning","max_tokens":400,"temperature":0,"ignore_eos":true'
  completion long2 '"prompt":"def main():","max_tokens":400,"ignore_eos":true'
  completion last '"prompt":"The end","max_tokens":300,"temperature":0,"ignore_eos":true'
} >"$work/in.jsonl"

batch=("$TERRACE" batch "$TERRACE_TEST_MODEL" --input "$work/in.jsonl" --output "$work/out.jsonl")
num_lines() { wc -l 2>/dev/null <"$work/out.jsonl" || echo 0; }
in_order() { sed -E 's/"created":[0-9]+/"created":0/' "$work/out.jsonl"; }
same_results() { in_order | sort | cmp -s - "$work/expected" || fail "$1: other results than without: $(in_order | sort | diff - "$work/expected" | cut -c1-300)"; }

# start COMMAND...: in the background, until at least 4 lines stand in a new output file; $job is its pid.
start() {
  rm -f "$work/out.jsonl"
  timeout 100 env --default-signal=INT "$@" >"$work/out" 2>"$work/err" &
  job=$!
  while [ "$(num_lines)" -lt 4 ]; do
    kill -0 "$job" 2>/dev/null || { fail "it ended too early: $(cat "$work/err")"; return; }
    sleep 0.02
  done
}
# pid_of RANK of the mpirun that `start` started
pid_of() {
  local pid
  for pid in $(pgrep --parent "$(pgrep --parent "$job")"); do
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid"
  done
}

# Without interruption, and sorted.
expect 0 mpirun -n 2 "${batch[@]}" --order input
silent out
says err "12 lines: 12 done now, 3 failed, 0 done before"
says err "3 of 12 lines failed"
ids=$(sed -E 's/.*"custom_id":"([^"]*)".*/\1/' "$work/out.jsonl" | tr '\n' ' ')
[ "$ids" = "paris sky line:3 sampled unknown counted scored choices too_long long1 long2 last " ] || fail "not in the input's order: $ids"
grep -q '"custom_id":"counted".*"text":" 7 8".*"finish_reason":"stop"' "$work/out.jsonl" || fail "the stop string was not met: $(cat "$work/out.jsonl")"
in_order | sort >"$work/expected"
cp "$work/out.jsonl" "$work/whole"
expect 0 mpirun -n 2 "${batch[@]}" --progress none
silent err
cmp -s "$work/out.jsonl" "$work/whole" || fail "a run with nothing to do changes the output"

# With a time-line: the same results, and JSON that others can read, also of a run that was killed.
rm -f "$work/out.jsonl"
expect 0 mpirun -n 2 "${batch[@]}" --set trace="$work/trace.json"
same_results "with a trace"
events() { python3 -c 'import json, sys; print(sum(event["name"] == sys.argv[2] for event in json.load(open(sys.argv[1]))))' "$work/trace.json" "$1"; }
[ "$(events 'first token')" -gt 8 ] && [ "$(events decode)" -gt 50 ] || fail "the trace lacks events: $(head -c 2000 "$work/trace.json")"
start "${batch[@]}" --set trace="$work/trace.json"
pkill -KILL --parent "$job"
wait "$job" 2>/dev/null
[ "$(events plan)" -gt 0 ] || fail "no trace of a killed run: $(head -c 2000 "$work/trace.json")"

# Killed, one rank or the other, while lines are being written.
for rank in 0 1; do
  start mpirun -n 2 "${batch[@]}"
  kill -9 "$(pid_of $rank)"
  wait "$job"
  [ $? -ne 0 ] || fail "killing rank $rank went unnoticed"
  says err "rank $rank (pid"
  [ "$(num_lines)" -lt 12 ] || fail "all was done before the kill"
  expect 0 mpirun -n 2 "${batch[@]}"
  same_results "after killing rank $rank"
done

# Asked to stop: soon over, and the same command goes on. One process; its tokens are those of two ranks.
for signal in INT TERM; do
  start "${batch[@]}"
  pkill "-$signal" --parent "$job"
  wait "$job"
  status=$?
  wanted=$([ $signal = INT ] && echo 130 || echo 143)
  [ "$status" -eq "$wanted" ] || fail "SIG$signal should exit with $wanted, not $status: $(cat "$work/err")"
  says err "The same command goes on from there"
done
kept=$(num_lines)
head -c -20 "$work/out.jsonl" >"$work/torn" && mv "$work/torn" "$work/out.jsonl"
expect 0 "${batch[@]}" --order input
says err "ended in the middle of a line"
says err "$((kept - 1)) done before"
[ "$(num_lines)" -eq 12 ] || fail "$(num_lines) lines after a repair"

# The disk fills up: a sentence, and all ranks are gone soon.
start mpirun -n 2 "${batch[@]}"
ranks="$(pid_of 0) $(pid_of 1)"
SECONDS=0
prlimit --pid "$(pid_of 0)" --fsize="$(stat -c %s "$work/out.jsonl")"
wait "$job"
status=$?
[ "$status" -eq 5 ] || fail "a full disk should exit with 5, not $status: $(cat "$work/err")"
says err "cannot write $work/out.jsonl: File too large"
runs() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; stat=${stat##*) }; [ "${stat%% *}" != Z ]; }  # a zombie runs no more
for pid in $ranks; do
  while runs "$pid" && [ $SECONDS -lt 20 ]; do sleep 0.1; done  # 5 s, and four times that on a busy machine
  runs "$pid" && fail "rank $pid is still there"
done
[ -z "$(tail -c 1 "$work/out.jsonl")" ] || fail "the output ends in half a line"

# What is wrong with the files is said before anything is loaded.
cat "$work/in.jsonl" "$work/in.jsonl" >"$work/twice.jsonl"
expect 2 "$TERRACE" batch /no/such.gguf --input "$work/twice.jsonl" --output "$work/out2.jsonl"
says err 'custom_id "paris" stands on line 1 and again on line 13'
expect 2 "$TERRACE" batch "$TERRACE_TEST_MODEL" --input "$work/none.jsonl" --output "$work/out2.jsonl"
says err "none.jsonl"
expect 2 "$TERRACE" batch "$TERRACE_TEST_MODEL" --input "$work/in.jsonl" --output "$work/in.jsonl"
says err "is not a result of a batch"
done_testing
