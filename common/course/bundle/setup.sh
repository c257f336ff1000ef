#!/bin/bash
# Gradescope runs this once, as root, when it builds the autograder's image. It gets the packages, builds the judges, and
# sees the starters judged: an image that cannot judge is no image.
set -euo pipefail
cd /autograder/source/course
export DEBIAN_FRONTEND=noninteractive

cmake_is_new_enough() {
    local version
    version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p') || return 1
    [ -n "$version" ] && [ "$(printf '3.25\n%s\n' "$version" | sort -V | head -n 1)" = 3.25 ]
}
# Ubuntu 22.04 has an older CMake; the Python package has a newer one.
if ! cmake_is_new_enough; then
    apt-get update
    apt-get install -y --no-install-recommends cmake
    if ! cmake_is_new_enough; then
        apt-get install -y --no-install-recommends python3-pip
        pip3 install 'cmake>=3.25,<4'
        hash -r
    fi
    cmake_is_new_enough || { echo 'setup: CMake 3.25 or newer could not be installed. Choose a newer base image.' >&2; exit 4; }
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
labs=()
while read -r lab; do
    labs+=(--lab "$lab")
    mkdir -p "$work/in/starter/labs"
    cp -R "labs/$lab" "$work/in/starter/labs/"
done <../assignment
# The course's own script gets what packages are missing.
./course class grade "$work/in" --out "$work/out" "${labs[@]}"
if ! grep -q '^starter,0,[1-9][0-9]*,graded' "$work/out/class.csv" || grep -q 'does not compile' "$work/out/students/starter.json"; then
    echo 'setup: the starters were not judged as starters are:' >&2
    cat "$work/out/class.csv" >&2
    exit 5
fi
