# Help, version, usage errors and bad configurations: exit codes, and a sentence on stderr with nothing on stdout.
source "$(dirname "$0")/lib.sh"

expect 0 "$TERRACE" --version
says out "terrace "
silent err
expect 0 "$TERRACE" --help
says out "Exit codes:"
for verb in run batch serve top bench "bench techniques" "bench cache" "bench serve" render tokenize inspect; do
  expect 0 "$TERRACE" $verb --help
  says out "Examples:"
  silent err
done
expect 0 "$TERRACE" --config-keys
cmp -s "$work/out" "$TERRACE_SOURCE_DIR/docs/config.md" || fail "--config-keys is not docs/config.md"

expect 2 "$TERRACE"
says err "terrace: error: "
expect 2 "$TERRACE" runn x.yaml
says err "did you mean 'run'?"
expect 2 "$TERRACE" run
says err "CONFIG"
expect 2 "$TERRACE" run x.yaml --max-token 5
says err "did you mean '--max-tokens'? See terrace run --help"
expect 2 "$TERRACE" run x.yaml one two
says err "not expected: one two. See"
expect 2 "$TERRACE" bench serve
says err "See terrace bench serve --help"
expect 2 "$TERRACE" run x.yaml --temperature -1
says err "--temperature"
expect 2 "$TERRACE" run x.yaml --progress loud
says err "expected auto, bar, plain or none, found 'loud'"
silent out

expect 2 "$TERRACE" run /no/such.yaml -p x
says err "terrace: error: /no/such.yaml: cannot be opened (No such file or directory)"
printf 'cache:\n  page_token: 16\n' >"$work/a.yaml"
expect 2 "$TERRACE" run "$work/a.yaml" -p x
says err "a.yaml:2:3: unknown key 'cache.page_token'; did you mean 'cache.page_tokens'?"
expect 2 "$TERRACE" run model.gguf -p x --set cache.page_tokens=17
says err "cache.page_tokens: expected a power of two from 1 to 256, found '17'"
silent out

printf 'model: {load: dummy}\n' >"$work/dummy.yaml"
for verb in tokenize render inspect; do
  expect 2 "$TERRACE" $verb "$work/dummy.yaml"
  says err "a dummy model has no tokenizer: terrace $verb needs a model file"
done
expect 0 "$TERRACE" run "$work/dummy.yaml" -p x --max-tokens 1
says err " 1 generated, ended by"
expect 2 "$TERRACE" serve "$work/dummy.yaml" --set server.host=localhost
says err "write 127.0.0.1"
expect 5 "$TERRACE" top 127.0.0.1:1 --count 1
says err "Connection refused; is terrace serve running there?"
done_testing
