# `terrace serve` when things go wrong (serve_faults_test.py); one of its tests starts mpirun.
# needs: mpirun
source "$(dirname "$0")/lib.sh"
needs_model
export OMPI_MCA_odls_base_sigkill_timeout=2
exec python3 "$(dirname "$0")/serve_faults_test.py"
