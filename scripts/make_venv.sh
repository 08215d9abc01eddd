#!/bin/sh
# Makes a virtual environment with pip. Usage: make_venv.sh FOLDER
# Takes $PYTHON if it is set, else the first Python >= 3.11 it finds. Debian keeps venv's ensurepip in a package of its own
# (python3-venv): as root it is installed here, otherwise one line says what is missing.
set -eu
folder=$1

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$python"; then
        break
    fi
    python=
done
if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" -V 2>&1) || found=none
    echo "make: Python 3.11 or newer is needed; ${PYTHON:-python3} here: ${found:-none}. Install one" \
        "(Debian 12 or later: apt-get install python3), or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "make: this Python cannot make virtual environments; installing $package" >&2
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null; }
    else
        echo "make: this Python cannot make virtual environments. Run: sudo apt-get install $package" >&2
        exit 1
    fi
fi
"$python" -m venv --clear "$folder" || { rm -rf "$folder"; exit 1; }
