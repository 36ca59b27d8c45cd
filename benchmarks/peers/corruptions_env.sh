#!/bin/sh
# Builds the environment of the package that our picture corruptions are held against, by default in
# /tmp/oracle/corruptions. `benchmarks/corruptions.py --peers ENV/bin/python` and, with
# ACCLIMATE_CORRUPTIONS_ENV=ENV, `tests/parity/test_corruptions_oracle.py` use it.
#
#   sh benchmarks/peers/corruptions_env.sh [ENV] [PYTHON-3.10]
#
# The package is of 2020 and does not run on today's numpy 2 and scikit-image 0.26: glass_blur and gaussian_blur pass
# `multichannel=`, which scikit-image 0.20 dropped, and fog names `np.float_`, which numpy 2 dropped. scikit-image
# 0.19.3 has no wheel for Python 3.11, hence 3.10. It asks for opencv-python, whose wheel wants a display's
# libraries: the headless build has the same `cv2`. It imports `pkg_resources`, which setuptools 81 dropped.
set -eu
env="${1:-/tmp/oracle/corruptions}"
python="${2:-python3.10}"
"$python" -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
  'numpy==1.23.5' 'scipy==1.10.1' 'scikit-image==0.19.3' 'opencv-python-headless==4.8.1.78' 'numba==0.57.1' \
  'pillow==11.3.0' 'setuptools<81'
"$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'imagecorruptions==1.1.2'
"$env/bin/python" -W ignore - <<'PROBE'
import numpy
from imagecorruptions import corrupt, get_corruption_names

names = get_corruption_names("all")
picture = numpy.random.RandomState(0).randint(0, 256, (96, 80, 3)).astype(numpy.uint8)
for name in names:
    for severity in range(1, 6):
        corrupt(picture, corruption_name=name, severity=severity)
print("ready:", len(names), "corruptions run")
PROBE
