# What schemathesis makes of /openapi.json: thousands of requests, right and wrong ones, no server error and no answer outside of the document.
source "$(dirname "$0")/lib.sh"
needs_model
schemathesis=${TERRACE_CACHE:-$HOME/.cache/terrace}/clients/bin/schemathesis
[ -x "$schemathesis" ] || { echo "skipped: schemathesis is not here (scripts/setup.sh --with-clients fetches it)"; exit 77; }

examples=25 limit=200
[ -n "${TERRACE_LONG_TESTS:-}" ] && examples=500 limit=3000

# A small pool keeps answers short.
"$TERRACE" serve "$TERRACE_TEST_MODEL" --progress none --set server.port=0 --set cache.device=4MiB --set server.access_log=false 2>"$work/log" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 600); do grep -q "serving on" "$work/log" && break; kill -0 $server 2>/dev/null || break; sleep 0.1; done
url=$(sed -n 's/^serving on //p' "$work/log")
cd "$work"  # where it leaves its notes
timeout $limit "$schemathesis" run "$url/openapi.json" --url "$url" --seed 1 --generation-deterministic --max-examples "$examples" --request-timeout 60 \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance --phases examples,coverage,fuzzing >"$work/out" 2>&1 || fail "$(tail -150 "$work/out")"
kill -0 $server || fail "the server ended: $(tail "$work/log")"
kill $server
wait $server || fail "the server ended with $?: $(tail "$work/log")"
tail -5 "$work/out"
done_testing
