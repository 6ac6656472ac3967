# What goes wrong outside the command line: models, memory, output. A sentence, the documented exit code, within seconds.
source "$(dirname "$0")/lib.sh"

expect 3 "$TERRACE" run /no/such/model.gguf -p x
says err "/no/such/model.gguf"
silent out
expect 3 "$TERRACE" inspect /no/such/model.gguf
printf 'GGUF' >"$work/short.gguf"
expect 3 "$TERRACE" inspect "$work/short.gguf"
says err "short.gguf"
expect 3 "$TERRACE" run "$work/short.gguf" -p x
says err "short.gguf"
head -c 4096 /dev/urandom >"$work/noise.gguf"
expect 3 "$TERRACE" inspect "$work/noise.gguf"
says err "noise.gguf"

needs_model
for bytes in 100 100000 2000000 90000000; do
  head -c "$bytes" "$TERRACE_TEST_MODEL" >"$work/cut.gguf"
  expect 3 "$TERRACE" run "$work/cut.gguf" -p x
  says err "cut.gguf"
  silent out
done
rm "$work/cut.gguf"

# Shortened while it is mapped.
cp "$TERRACE_TEST_MODEL" "$work/shrinks.gguf"
timeout 100 "$TERRACE" run "$work/shrinks.gguf" --raw -p "Once" --max-tokens 6000 --ignore-eos >"$work/out" 2>"$work/err" &
for _ in $(seq 300); do [ -s "$work/out" ] && break; sleep 0.1; done
truncate -s 4096 "$work/shrinks.gguf"
wait $!
[ $? -eq 3 ] || fail "a model file that shrinks does not end with 3"
says err "was shortened"
rm "$work/shrinks.gguf"

expect 2 "$TERRACE" run "$TERRACE_TEST_MODEL" -p x --set parallel.ranks=10
says err "9"
expect 4 "$TERRACE" run "$TERRACE_TEST_MODEL" -p x --set cache.device=900TiB --set scheduler.max_sequences=65536
says err "cache.device"
expect 2 "$TERRACE" run "$TERRACE_TEST_MODEL" --raw -p ""
says err "the prompt is empty"
printf 'a\377b' >"$work/not_utf8"
expect 2 bash -c '"$0" run "$1" --raw --max-tokens 1 <"$2"' "$TERRACE" "$TERRACE_TEST_MODEL" "$work/not_utf8"
says err "UTF-8"

# The result cannot be written: disk full, closed pipe.
expect 5 bash -c '"$0" run "$1" -p hello --max-tokens 4 >/dev/full' "$TERRACE" "$TERRACE_TEST_MODEL"
says err "No space left on device"
expect 5 bash -c '"$0" inspect "$1" >/dev/full' "$TERRACE" "$TERRACE_TEST_MODEL"
says err "No space left on device"
expect 5 bash -c 'set -o pipefail; "$0" run "$1" -p hello --ignore-eos --max-tokens 200 | head -c 1 >/dev/null' "$TERRACE" "$TERRACE_TEST_MODEL"
says err "Broken pipe"
done_testing
