# For the lints, which run in the root of a checkout. Sourced, not run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
BUILD=${BUILD:-.build}

# The files of the project, committed or not yet, that match the patterns.
files() {
    local file
    git ls-files -co --exclude-standard -- "$@" 2>/dev/null | sort -u | while read -r file; do
        [ ! -f "$file" ] || echo "$file"
    done
}

# Which layer a C file belongs to, by its path.
layer_of() {
    case $1 in
    service/main.c) echo main ;;
    service/*/* | include/*/*) echo "$1" | cut -d/ -f2 ;;
    api/*) echo api ;;
    tests/unit/*/*) echo "$1" | cut -d/ -f3 ;;
    tests/fuzz/*_*) echo "${1##*/}" | cut -d_ -f1 ;;
    *) echo main ;;
    esac
}

# The flags that each layer's files are compiled with, as the Makefile has them: flags[layer].
declare -A flags
read_flags() {
    local layer words
    while read -r layer words; do flags[$layer]=$words; done < <(
        MAKEFLAGS='' make -s flags "BUILD=$BUILD/lint" CC="$1"
    )
}

# complain WHERE WHAT
complain() {
    echo "  $1: $2"
    bad=1
}
bad=0
