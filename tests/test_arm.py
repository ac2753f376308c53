"""The kernels of 64-bit ARM under qemu-user (tools/arm/run.sh --quick; `make arm` runs all of it): skipped aloud
where the cross compiler, the libraries for arm64 or qemu are missing."""
import subprocess

import pytest


def test_arm_kernels_pass_the_op_test_and_answer():
    p = subprocess.run(["sh", "tools/arm/run.sh", "--quick"], capture_output=True, text=True, timeout=2400)
    if p.returncode == 77:
        print(p.stdout)
        pytest.skip(p.stdout.strip())
    assert p.returncode == 0 and "0 failed" in p.stdout, p.stdout + p.stderr
