# `terrace top` of a real server (top_test.py).
source "$(dirname "$0")/lib.sh"
needs_model
exec timeout 100 python3 "$(dirname "$0")/top_test.py"
