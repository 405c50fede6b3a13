#!/usr/bin/env python3
"""Puts libtorch 2.11.0 into .libtorch from the official torch wheel; no Python is needed at run time.

Without a GPU only what the CPU needs is kept (437 MB). With one, or with TRAINYARD_LIBTORCH=full, all of the wheel's libraries and the
NVIDIA libraries that it asks for. Either way `libtorch.so` is a linker script that names the CPU half alone: the trainer opens the CUDA
half by name at start where it is there. Wheels are checked by SHA-256; a finished .libtorch is left as it is.

Run by `make libtorch`, after scripts/prerequisites.sh has made .cache/tools.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".libtorch"
WHEELS = ROOT / ".cache" / "wheels"
PIP = [str(ROOT / ".cache/tools/bin/python"), "-m", "pip", "--disable-pip-version-check"]

# The wheel's tag is fixed, so that the machine's own Python does not matter.
PLATFORM = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_25_x86_64",
            "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64"]
PINNED = {
    "torch==2.11.0": "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    "nvidia-cuda-runtime==13.0.96": "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    "nvidia-cuda-cupti==13.0.85": "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
}
CPU_LIBRARIES = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13")


def main():
    full = os.environ.get("TRAINYARD_LIBTORCH") == "full" or has_gpu()
    stamp = TARGET / "stamp"
    form = "full" if full else "cpu"
    wanted = "\n".join([form, *PINNED.values()]) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"setting up libtorch 2.11.0 ({form}) in {TARGET.relative_to(ROOT)}", flush=True)
    wheels = [fetch(requirement, digest) for requirement, digest in PINNED.items()]
    if full:
        wheels += fetch_cuda()
    build = ROOT / ".libtorch.partial"
    shutil.rmtree(build, ignore_errors=True)
    (build / "lib").mkdir(parents=True)
    for wheel in wheels:
        unpack(wheel, build, full)
    lost = [name for name in CPU_LIBRARIES if not (build / "lib" / name).is_file()]
    if lost:
        sys.exit(f"the wheels do not hold {', '.join(lost)}")
    (build / "lib" / "libtorch.so").write_text("INPUT(libtorch_cpu.so)\n")
    (build / "stamp").write_text(wanted)
    shutil.rmtree(TARGET, ignore_errors=True)
    build.rename(TARGET)
    megabytes = sum(path.stat().st_size for path in (TARGET / "lib").iterdir()) // 2**20
    print(f"libtorch is in place: {megabytes} MB of libraries", flush=True)


def has_gpu():
    return os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") is not None


def fetch(requirement, digest):
    """The wheel of a pinned requirement, from the cache or by pip, with its digest checked."""
    name = requirement.split("==")[0].replace("-", "_")
    for wheel in WHEELS.glob(f"{name}-*.whl"):
        if sha256(wheel) == digest:
            return wheel
        wheel.unlink()
    pip_download(requirement, "--no-deps")
    for wheel in WHEELS.glob(f"{name}-*.whl"):
        seen = sha256(wheel)
        if seen == digest:
            return wheel
        wheel.unlink()
        sys.exit(f"{wheel.name} has the SHA-256 {seen}, not {digest}: it was not used")
    sys.exit(f"pip brought no wheel for {requirement}")


def fetch_cuda():
    """The NVIDIA wheels that torch asks for, at the versions that its own metadata pins."""
    before = set(WHEELS.glob("*.whl"))
    pip_download("torch==2.11.0")
    return sorted(wheel for wheel in set(WHEELS.glob("*.whl")) | before if wheel.name.startswith("nvidia_"))


def pip_download(*requirements):
    WHEELS.mkdir(parents=True, exist_ok=True)
    command = [*PIP, "download", "--dest", str(WHEELS), *PLATFORM, *requirements]
    if subprocess.run(command).returncode:
        sys.exit(f"pip could not download {requirements[0]}; check the network and run this again")


def unpack(wheel, build, full):
    """Headers into include/, libraries flat into lib/, so that one search path finds them all."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = entry.filename
            base = os.path.basename(path)
            if path.startswith("torch/include/"):
                target = build / path.removeprefix("torch/")
            elif ".so" in base and "/lib" in path and (base in CPU_LIBRARIES or (full and wanted_library(path))):
                target = build / "lib" / base
            else:
                continue
            if entry.is_dir():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def wanted_library(path):
    """Everything but torch's Python half."""
    return "python" not in os.path.basename(path) and os.path.basename(path) != "libtorch.so"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
