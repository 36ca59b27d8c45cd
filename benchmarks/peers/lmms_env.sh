#!/usr/bin/env bash
# Builds a side virtual environment with lmms-eval 0.7.3 on the CPU, and this checkout in it, so that lmms-eval finds
# the model `acclimate` by its entry point.
#
#   benchmarks/peers/lmms_env.sh DIR     two minutes; a second call with the same DIR does nothing
#
# Then, offline:
#   HF_HUB_OFFLINE=1 DIR/bin/python -m lmms_eval --model acclimate --model_args pretrained=CHECKPOINT \
#     --include_path TASKS --tasks acclimate_vqa_rad_open_original --log_samples --output_path OUT
#   ACCLIMATE_LMMS_ENV=DIR python -m pytest tests/parity/test_lmms_eval.py
#
# lmms-eval names 48 requirements, and pins wandb and av; for tasks on pictures its command line imports the six below
# beside what acclimate itself needs. There is no torchvision: its registry build does not load with a CPU torch, and
# nothing here asks for it.
set -euo pipefail
dir=${1:?usage: lmms_env.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ -x "$dir/bin/lmms-eval" ] && "$dir/bin/python" -c 'import acclimate.lmms_model' 2>/dev/null \
  && { echo "ready: $dir"; exit 0; }
python3 -m venv "$dir"
pip=("$dir/bin/python" -m pip install -q --disable-pip-version-check -c "$here/constraints.txt")
"${pip[@]}" torch==2.13.0
"${pip[@]}" hatchling editables
"${pip[@]}" --no-build-isolation -e "$here"
"${pip[@]}" --no-deps lmms-eval==0.7.3
"${pip[@]}" loguru sacrebleu evaluate pytz tenacity pytablewriter
"$dir/bin/python" -c 'from lmms_eval.models import get_model; print(get_model("acclimate").__name__)'
echo "ready: $dir"
