# `terrace serve` as its clients see it (serve_test.py).
source "$(dirname "$0")/lib.sh"
needs_model
exec python3 "$(dirname "$0")/serve_test.py"
