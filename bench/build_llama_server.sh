#!/bin/bash
# Builds llama.cpp's own server, the yardstick of the benchmark, from the source that the locked llama-cpp-python carries, for this
# CPU. Usage: build_llama_server.sh [OUT_FOLDER]. Ten minutes on two cores; does nothing where it stands already. The last line is
# the path of the program. $PYTHON (default .venv/bin/python) brings pip, which brings the locked cmake and ninja.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
cache=${MISTRAL_API_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mistral-api}
# Without the header GCC 12's AMX code faults on today's Intel servers: the yardstick would not run there at all.
header=$root/scripts/llama/amx_tileconfig.h
flags=(-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF)

pin=$(sed -n 's/^llama-cpp-python==\([^ ]*\).*/\1/p' "$root/requirements/llama.txt")
key=$(cat "$header" "$root/requirements/llama.txt" <(echo "${flags[@]}") <(c++ --version) <(grep -m1 '^model name' /proc/cpuinfo) | sha256sum | cut -c1-12)
out=${1:-$cache/llama-server/$pin-$key}
if [ -x "$out/llama-server" ]; then
    echo "$out/llama-server"
    exit 0
fi

mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
pip install --quiet --target "$work/tools" --require-hashes --requirement "$root/requirements/build.txt"
export PATH="$work/tools/bin:$PATH" PYTHONPATH="$work/tools"
echo "llama-server: fetching the source (75 MB)"
pip download --quiet --no-deps --no-build-isolation --no-binary :all: --require-hashes \
    --requirement "$root/requirements/llama.txt" --dest "$work"
tar -xf "$work"/llama_cpp_python-*.tar.gz -C "$work"
echo "llama-server: compiling, some ten minutes on two cores"
{
    cmake -G Ninja -S "$work"/llama_cpp_python-*/vendor/llama.cpp -B "$work/build" "${flags[@]}" \
        -DCMAKE_CXX_FLAGS="-include \"$header\"" &&
        ninja -C "$work/build" llama-server
} >"$out/build.log" 2>&1 || {
    tail -n 40 "$out/build.log" >&2
    echo "llama-server did not compile; all of the compiler's words: $out/build.log" >&2
    exit 1
}
mv "$work/build/bin/llama-server" "$out/llama-server"
echo "$out/llama-server"
