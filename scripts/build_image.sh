#!/bin/sh
# Builds an image with docker or buildah, whichever is here. Usage: build_image.sh IMAGE[:TAG] TARGET [WHEEL]
# Without a tag it gets two: the version, by which the chart and k8s/ name it, and latest.
# WHEEL (a path in the repository) is taken instead of compiling llama.cpp. BUILDER=docker or buildah chooses.
# Two builds of one commit and one wheel have the same layers, byte for byte, with buildah. With docker the files of a layer keep
# their own times: what would rewrite them (BuildKit's rewrite-timestamp) does nothing, or fails, where the image is loaded into docker.
set -eu
image=$1 target=$2 wheel=${3:-}
cd "$(dirname "$0")/.."

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
case ${image##*/} in
    *:*) set -- --tag "$image" ;;
    *) set -- --tag "$image:$version" --tag "$image:latest" ;;
esac
set -- "$@" --target "$target" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE_DATE_EPOCH=$epoch"
if [ -n "$wheel" ]; then
    set -- "$@" --build-arg "WHEEL=$wheel"
fi
if [ -n "${BASE:-}" ]; then
    set -- "$@" --build-arg "BASE=$BASE"
fi

if [ "${BUILDER:-docker}" = docker ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    exec env DOCKER_BUILDKIT=1 docker build "$@" .
fi
if [ "${BUILDER:-buildah}" = buildah ] && command -v buildah >/dev/null; then
    exec buildah bud --format docker --layers --network host --timestamp "$epoch" "$@" .
fi
echo "build_image: no ${BUILDER:-docker or buildah} is here. Install one (Debian: apt-get install buildah)" >&2
exit 1
