// Placeholder so that the kernels' glob is not empty.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
namespace terrace { __global__ void probe_kernel(float* x) { x[threadIdx.x] = ptx::exp2_approx(x[threadIdx.x]); }
void probe(float* x, cudaStream_t s) { launch("probe", {dim3(1), dim3(32), 0, s}, probe_kernel, x); } }
