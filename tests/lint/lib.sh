# For the lints, which run in the root of a checkout. Sourced, not run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
BUILD=${BUILD:-.build}
# Large pages where the system has some: page by page, the memory of a compiler costs half of the time on
# some virtual machines.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1

# The files of the project, committed or not yet, that match the patterns.
files() {
    local file
    git ls-files -co --exclude-standard -- "$@" 2>/dev/null | sort -u | while read -r file; do
        [ ! -f "$file" ] || echo "$file"
    done
}

# Which layer a C file belongs to, by its path.
layer_of() {
    local rest
    case $1 in
    service/main.c) rest=main ;;
    service/*/* | include/*/*) rest=${1#*/} ;;
    api/*) rest=api ;;
    tests/unit/*/*) rest=${1#tests/unit/} ;;
    tests/fuzz/*_*) rest=${1##*/} && rest=${rest%%_*} ;;
    *) rest=main ;;
    esac
    echo "${rest%%/*}"
}

# The flags that each layer's files are compiled with, as the Makefile has them: flags[layer].
declare -A flags
read_flags() {
    local layer words
    while read -r layer words; do flags[$layer]=$words; done < <(
        MAKEFLAGS='' make -s flags "BUILD=$BUILD/lint" CC="$1"
    )
}

# clang_syntax FLAGS FILE...: what clang says of the files, without code. clang itself starts a process for each of them;
# clang-tidy does not, but wants a check of its own besides.
clang_syntax() {
    local words=$1
    shift
    # shellcheck disable=SC2086 # the flags are words
    clang-tidy --quiet --checks='-*,clang-diagnostic-*,misc-static-assert' --header-filter='.*' "$@" -- $words
}

# complain WHERE WHAT
complain() {
    echo "  $1: $2"
    bad=1
}
bad=0
