"""Each module can be the first that is imported: configs name modules in any order."""

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
import hrcam_monai
names = [m.name for m in pkgutil.walk_packages(hrcam_monai.__path__, "hrcam_monai.") if not m.name.endswith("__main__")]
failed = []
for name in names:
    for known in [k for k in sys.modules if k.split(".")[0] == "hrcam_monai"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
print(len(names), *failed, sep="\\n")
"""


def test_every_module_can_come_first():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, *failed = done.stdout.split("\n")[:-1]
    assert int(count) > 80
    assert not failed
