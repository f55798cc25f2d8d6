#!/bin/sh
# Installs EdgeRec for this device, checks the bundle, measures it, and writes the results to a JSON file.
# Usage: sh run.sh [RESULT.json]
# PYTHON names the Python to use (3.10 to 3.13). BENCH holds other arguments for `edgerec bench`, such as "step".
set -eu

case ${1-} in
-*)
    echo "Usage: sh run.sh [RESULT.json]. It installs EdgeRec, checks the bundle and measures it (README.md)."
    case $1 in -h | --help) exit 0 ;; *) exit 2 ;; esac
    ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
result=${1:-$here/result.json}
python=${PYTHON:-python3}

stop() {
    echo "run.sh: $*" >&2
    exit 1
}

case $(uname -o 2>/dev/null || uname -s) in
Android) stop "Android's own libraries cannot load the wheels of MNN and NumPy. In Termux, run: pkg install proot-distro; proot-distro install debian; proot-distro login debian. Then run this script there (README.md)" ;;
esac
command -v "$python" >/dev/null 2>&1 || stop "$python was not found: install Python 3.10 to 3.13, or set PYTHON to its path"
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
    stop "Python should be 3.10 to 3.13, but $python is $("$python" --version 2>&1): set PYTHON to another one"
"$python" -c 'import struct, sys; sys.exit(struct.calcsize("P") != 8)' ||
    stop "Python should have 64 bits, because MNN has no wheels for 32 bits: install a 64-bit system, such as Raspberry Pi OS (64-bit)"

environment=$here/venv
if [ ! -x "$environment/bin/edgerec" ]; then
    echo "run.sh: installing into $environment" >&2
    rm -rf "$environment"
    "$python" -m venv "$environment" || stop "$python cannot make a virtual environment: on Debian and Raspberry Pi OS run: apt install python3-venv"
    # Without index, pip installs from the folder `wheels` only, so the device needs no network.
    set -- --quiet --disable-pip-version-check --only-binary mnn,numpy,psutil,pydantic_core --constraint "$here/constraints.txt"
    if [ -d "$here/wheels" ]; then
        set -- "$@" --no-index --find-links "$here/wheels"
    fi
    for wheel in "$here"/edgerec-*.whl; do
        if ! "$environment/bin/python" -m pip install "$@" "$wheel[device]"; then
            rm -rf "$environment"
            stop "pip could not install EdgeRec (see the lines above): check the network, or make the kit with --wheels for this device"
        fi
    done
fi

echo "run.sh: checking the bundle" >&2
"$environment/bin/edgerec" verify "$here/bundle" || stop "the bundle cannot be used on this device (see the line above): if a file is missing or damaged, unpack the kit again"
echo "run.sh: measuring" >&2
# shellcheck disable=SC2086 # BENCH may hold several arguments
"$environment/bin/edgerec" bench ${BENCH:-all} "$here/bundle" --out "$result" --force
echo "run.sh: the results are in $result"
