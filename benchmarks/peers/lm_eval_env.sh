#!/usr/bin/env bash
# Builds a side virtual environment with lm-eval 0.4.13 on the CPU, and this checkout in it, so that both lm-eval's
# own command line and `acclimate evaluate --text` run in it.
#
#   benchmarks/peers/lm_eval_env.sh DIR     two minutes; a second call with the same DIR does nothing
#
# Then, offline:
#   DIR/bin/python -m pytest tests/test_text_tasks.py
#   ACCLIMATE_LM_EVAL_ENV=DIR DIR/bin/python -m pytest tests/parity/test_lm_eval.py -m slow
set -euo pipefail
dir=${1:?usage: lm_eval_env.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[ -x "$dir/bin/lm_eval" ] && "$dir/bin/python" -c 'import acclimate.engines.open, lm_eval.models.huggingface' 2>/dev/null \
  && { echo "ready: $dir"; exit 0; }
python3 -m venv "$dir"
pip=("$dir/bin/python" -m pip install -q --disable-pip-version-check -c "$here/constraints.txt")
"${pip[@]}" torch==2.13.0
"${pip[@]}" hatchling editables
"${pip[@]}" --no-build-isolation -e "$here"
"${pip[@]}" 'lm-eval[hf]==0.4.13' pytest pytest-xdist hypothesis
"$dir/bin/python" -c 'import lm_eval.models.huggingface, importlib.metadata as m; print("lm-eval", m.version("lm-eval"))'
echo "ready: $dir"
