#!/bin/sh
# What an image starts: terrace serve CONFIG [flags], by as many ranks as RANKS says (1: no mpirun).
set -eu
if [ "${RANKS:-1}" -le 1 ]; then exec terrace serve "$@"; fi
# shellcheck source=scripts/mpi_env.sh
. /usr/local/share/terrace/mpi_env.sh
exec mpirun -n "$RANKS" terrace serve "$@"
