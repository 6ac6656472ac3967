# The files for operators: what the dashboard and the alerts ask for is what /metrics prints; the unit and the recipes are well-formed.
source "$(dirname "$0")/lib.sh"
deploy=$TERRACE_SOURCE_DIR/configs/deploy

for script in "$deploy"/*.sh; do
  bash -n "$script" || fail "$script is not a script"
  [ -x "$script" ] || fail "$script cannot be executed"
  if command -v shellcheck >/dev/null; then shellcheck -x -P "$TERRACE_SOURCE_DIR" "$script" || fail "shellcheck $script"; fi
done

if command -v systemd-analyze >/dev/null; then
  # Prints what is unknown, and nothing else.
  verify() { systemd-analyze verify "$1" 2>&1 | grep -F "$(basename "$1")"; }
  cp "$deploy/terrace.service" "$work/terrace.service"
  ! verify "$work/terrace.service" || fail "the unit is not clean"
  sed 's/^KillMode=/KillMod=/' "$deploy/terrace.service" >"$work/wrong.service"
  verify "$work/wrong.service" >/dev/null || fail "systemd-analyze does not see a wrong key"
else
  echo "systemd-analyze is not here: the unit was not verified"
fi

# mpirun takes about twice its time-out to end (scripts/mpi_env.sh), and systemd must not kill it before.
drain=$(sed -n 's/^Environment=OMPI_MCA_odls_base_sigkill_timeout=//p' "$deploy/terrace.service")
stop=$(sed -n 's/^TimeoutStopSec=//p' "$deploy/terrace.service")
[ "$drain" -gt 30 ] && [ "$stop" -gt $((2 * drain + 10)) ] || fail "the unit stops after $stop s, and mpirun needs twice $drain"

grep -q '^Restart=always$' "$deploy/terrace.service" || fail "a crash with exit code 1, which also is a stop's, would not be followed by a start"

# Paths that the recipes name are those that the build installs or the checkout has.
for recipe in Dockerfile terrace.def; do
  grep -q '^From: debian:12$\|^FROM debian:12$' "$deploy/$recipe" || fail "$recipe: another base than setup.sh is for"
  for path in $(grep -oE '(/src|/usr/local/share/terrace)/[a-z_/]+\.(sh|yaml)' -h "$deploy/$recipe" "$deploy"/*.sh "$deploy/terrace.service"); do
    here=$(sed 's|^/src/||; s|^/usr/local/share/terrace/mpi_env|scripts/mpi_env|; s|^/usr/local/share/terrace/||' <<<"$path")
    [ -e "$TERRACE_SOURCE_DIR/$here" ] || fail "$recipe: there is no $here"
  done
done
for section in files post runscript; do grep -q "^%$section$" "$deploy/terrace.def" || fail "terrace.def has no %$section"; done

# The image's start script, on this machine: one process without mpirun.
mkdir "$work/bin"
printf '#!/bin/sh\necho "terrace $*"\n' >"$work/bin/terrace"
chmod +x "$work/bin/terrace"
expect 0 env PATH="$work/bin:$PATH" "$deploy/serve_ranks.sh" model.yaml --set server.port=1
prints "terrace serve model.yaml --set server.port=1"

needs_model
python3 "$(dirname "$0")/dashboards_test.py" || fail "the dashboard or the alerts"
done_testing
