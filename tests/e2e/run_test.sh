# `terrace run` on the real model: what it prints, from a prompt, a pipe and several ranks; stops, seeds and signals.
source "$(dirname "$0")/lib.sh"
needs_model
run_model=("$TERRACE" run "$TERRACE_TEST_MODEL" --progress none)

expect 0 "${run_model[@]}" --raw -p "The capital of France is" --max-tokens 8
says out "Paris"
silent err
cp "$work/out" "$work/first"
expect 0 bash -c 'printf "The capital of France is" | "$@" --raw --max-tokens 8' - "${run_model[@]}"
cmp -s "$work/out" "$work/first" || fail "a piped prompt gives another text"
for ranks in 2 3 9; do
  expect 0 "${run_model[@]}" --raw -p "The capital of France is" --max-tokens 8 --set parallel.ranks=$ranks
  cmp -s "$work/out" "$work/first" || fail "$ranks ranks give another text: $(cat "$work/out")"
done

expect 0 "${run_model[@]}" -p "Name a colour." --max-tokens 30
[ -s "$work/out" ] || fail "no answer to a chat prompt"
expect 0 "${run_model[@]}" --raw -p "1 2 3 4 5 6" --max-tokens 40 --stop " 9"
prints " 7 8"

expect 0 "${run_model[@]}" -p "Tell a story." --max-tokens 20 --temperature 1 --seed 5
cp "$work/out" "$work/seeded"
expect 0 "${run_model[@]}" -p "Tell a story." --max-tokens 20 --temperature 1 --seed 5
cmp -s "$work/out" "$work/seeded" || fail "the same seed gives another text"
expect 0 "${run_model[@]}" -p "Tell a story." --max-tokens 20 --temperature 1 --seed 6
cmp -s "$work/out" "$work/seeded" && fail "another seed gives the same text"

# With a disk tier, the next run finds this one's pages.
tiers=(--set cache.device=50MiB --set cache.host=50MiB --set "cache.disk.path=$work/pages" --set cache.disk.size=50MiB)
story=$(printf 'The river runs on. %.0s' {1..30})
expect 0 "$TERRACE" run "$TERRACE_TEST_MODEL" "${tiers[@]}" -p "$story" --max-tokens 8 --progress plain
says err "0 on disk"
cp "$work/out" "$work/computed"
expect 0 "$TERRACE" run "$TERRACE_TEST_MODEL" "${tiers[@]}" -p "$story" --max-tokens 8 --progress plain
grep -qE 'KV: [0-9]+ tokens computed, 0 found on the device, 0 on the host, [1-9][0-9]* on disk' "$work/err" || fail "nothing was found on disk: $(cat "$work/err")"
cmp -s "$work/out" "$work/computed" || fail "pages from disk give another text"

# A signal once the answer has begun: soon over, with what was said so far on stdout.
for signal in INT TERM; do
  mkfifo "$work/answer"
  timeout 60 env --default-signal=INT "${run_model[@]}" -p "Tell a long story." --ignore-eos --max-tokens 4000 >"$work/answer" 2>"$work/err" &
  watcher=$!
  exec 3<"$work/answer"
  head -c 20 <&3 >/dev/null
  pkill "-$signal" --parent "$watcher"
  cat <&3 >/dev/null
  wait "$watcher"
  status=$?
  rm "$work/answer"
  wanted=$([ $signal = INT ] && echo 130 || echo 143)
  [ "$status" -eq "$wanted" ] || fail "SIG$signal should exit with $wanted, not $status: $(cat "$work/err")"
done
done_testing
