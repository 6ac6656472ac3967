# shellcheck shell=sh
# Settings of Open MPI that terrace needs. Source it before mpirun:  . scripts/mpi_env.sh; mpirun -n 2 terrace run configs/smollm2.yaml
# A variable that is set already is left alone. Other MPIs ignore all of this.

# mpirun refuses to start as root, as in most containers, unless both are set.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# More ranks than cores: allowed, terrace then waits without spinning.
export OMPI_MCA_rmaps_base_oversubscribe="${OMPI_MCA_rmaps_base_oversubscribe:-1}"

# mpirun would bind each of one or two ranks to one core. On a host with several memory nodes say --map-by numa --bind-to numa, which goes before this.
export OMPI_MCA_hwloc_base_binding_policy="${OMPI_MCA_hwloc_base_binding_policy:-none}"

# The kernel call that copies between processes (CMA) is forbidden in containers; without this MPI warns or fails there.
export OMPI_MCA_btl_vader_single_copy_mechanism="${OMPI_MCA_btl_vader_single_copy_mechanism:-none}"

# When a rank fails or mpirun is told to stop, it waits so many seconds (default 1), sends SIGTERM to all ranks, waits as long again and sends
# SIGKILL, also when every rank has long gone. Its exit code after a signal is 1. Raise it to the time that `terrace serve` may take to finish its requests.
export OMPI_MCA_odls_base_sigkill_timeout="${OMPI_MCA_odls_base_sigkill_timeout:-2}"

# Ranks that wait inside MPI itself (start, end) yield the core to those that work.
export OMPI_MCA_mpi_yield_when_idle="${OMPI_MCA_mpi_yield_when_idle:-1}"
