# Clients from PyPI talk to `terrace serve` (serve_clients_test.py); scripts/setup.sh --with-clients brings them.
source "$(dirname "$0")/lib.sh"
needs_model
python=${TERRACE_CACHE:-$HOME/.cache/terrace}/clients/bin/python
[ -x "$python" ] || { echo "skipped: the clients from PyPI are not here (scripts/setup.sh --with-clients fetches them)"; exit 77; }
exec "$python" "$(dirname "$0")/serve_clients_test.py"
