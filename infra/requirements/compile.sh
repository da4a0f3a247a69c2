#!/usr/bin/env bash
# Writes NAME.txt for every NAME.in here: each installed package with its pinned version and the hashes of its files for every platform.
#
#   infra/requirements/compile.sh [--check] [NAME...]          (default: all)
#
# --check writes nothing: it prints the differences and exits with 1 if there are any.
#
# Needs uv, in the version of uv.txt, and a Python package index. Review the diff before committing: a changed hash of an unchanged version
# means that the file was replaced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

check=''
[ "${1:-}" != --check ] || { check=yes; shift; }

die() { printf 'compile.sh: %s\n' "$*" >&2; exit 1; }
command -v uv >/dev/null || die "uv is missing; install it with: pip install --require-hashes --requirement infra/requirements/uv.txt"
wanted=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' uv.txt)
[[ $(uv --version) == "uv $wanted"* ]] || die "uv $wanted is required, but this is $(uv --version)"

names=("$@")
[ $# -gt 0 ] || for file in *.in; do names+=("${file%.in}"); done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
differs=0
for name in "${names[@]}"; do
    options=(--universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet)
    # Only the package's own file is used, so its dependencies are not needed.
    case $name in libduckdb-* | extensions-*) options+=(--no-deps) ;; esac
    # Existing pins are kept as long as NAME.in allows them.
    [ ! -e "$name.txt" ] || cp "$name.txt" "$work/$name.txt"
    uv pip compile "${options[@]}" --output-file "$work/$name.txt" "$name.in" >/dev/null
    if [ -z "$check" ]; then
        cp "$work/$name.txt" "$name.txt"
    else
        diff -u "$name.txt" "$work/$name.txt" || differs=1
    fi
done
exit "$differs"
