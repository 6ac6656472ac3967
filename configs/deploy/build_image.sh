#!/usr/bin/env bash
# Builds and installs terrace inside a Debian 12 image, as the Dockerfile and the Apptainer recipe have it do, from the sources in the folder it lies in.
#   TERRACE_CUDA=ON    also the CUDA module, with the compiler and libraries of NVIDIA's repository (the default)
#   TERRACE_CUDA=OFF   CPU only
set -euo pipefail
cd "$(dirname "$0")/../.."
cuda=${TERRACE_CUDA:-ON}
cuda_flags=()

scripts/setup.sh --no-model
if [ "$cuda" = ON ]; then
  apt-get install -y -qq --no-install-recommends ca-certificates curl >/dev/null
  keyring=$(mktemp --suffix=.deb)
  curl -fsSL -o "$keyring" https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/cuda-keyring_1.1-1_all.deb
  dpkg -i "$keyring"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends cuda-nvcc-13-0 cuda-cudart-dev-13-0 cuda-cccl-13-0 libcublas-dev-13-0 >/dev/null
  python3 -m pip install --quiet --break-system-packages --no-deps --target /opt/nccl nvidia-nccl-cu13
  nccl=/opt/nccl/nvidia/nccl
  ln -sf libnccl.so.2 "$nccl/lib/libnccl.so"
  echo "$nccl/lib" >/etc/ld.so.conf.d/nccl.conf
  ldconfig
  cuda_flags=(-DTERRACE_NCCL_INCLUDE="$nccl/include" -DTERRACE_LIB_nccl="$nccl/lib/libnccl.so")
fi
cmake -S . -B /tmp/terrace-build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTERRACE_TESTS=OFF -DTERRACE_CUDASIM=OFF -DTERRACE_CUDA="$cuda" "${cuda_flags[@]}"
cmake --build /tmp/terrace-build
cmake --install /tmp/terrace-build
rm -rf /tmp/terrace-build /var/lib/apt/lists/*
terrace --version
