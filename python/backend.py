"""Builds the wheel (PEP 517), with nothing but the standard library: the package and libtenon.so beside it.

    make && pip wheel --no-deps ./python

The library is $TENON_LIBRARY, or that of ../build."""
import base64
import hashlib
import os
import re
import sysconfig
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
README = "Tool calling by language models on this machine: functions as tools, conversations that run them."


def version():
    text = open(os.path.join(HERE, "tenon", "__init__.py"), encoding="utf-8").read()
    return re.search(r'^__version__ = "([^"]+)"', text, re.M).group(1)


def library():
    path = os.environ.get("TENON_LIBRARY") or os.path.join(HERE, "..", "build", "libtenon.so")
    if not os.path.exists(path):
        raise SystemExit("tenon: %s is not there; build it (make), or name it in TENON_LIBRARY" % path)
    return path


def metadata():
    return "Metadata-Version: 2.1\nName: tenon\nVersion: %s\nSummary: %s\nRequires-Python: >=3.9\n" % (version(), README)


def tag():
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def wheel_file():
    return "Wheel-Version: 1.0\nGenerator: tenon\nRoot-Is-Purelib: false\nTag: %s\n" % tag()


def files():
    folder = os.path.join(HERE, "tenon")
    found = {"tenon/" + n: open(os.path.join(folder, n), "rb").read() for n in sorted(os.listdir(folder)) if n.endswith((".py", ".typed"))}
    found["tenon/libtenon.so"] = open(library(), "rb").read()
    return found


def record(entries, name):
    lines = []
    for path, data in entries.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append("%s,sha256=%s,%d" % (path, digest, len(data)))
    return "\n".join(lines + [name + ",,"]) + "\n"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info, entries = "tenon-%s.dist-info/" % version(), files()
    entries[info + "METADATA"] = metadata().encode()
    entries[info + "WHEEL"] = wheel_file().encode()
    entries[info + "RECORD"] = record(entries, info + "RECORD").encode()
    name = "tenon-%s-%s.whl" % (version(), tag())
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as z:
        for path, data in entries.items():
            z.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return name


def get_requires_for_build_wheel(config_settings=None):
    return []
