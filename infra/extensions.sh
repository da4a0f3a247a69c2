#!/usr/bin/env bash
# Prints a folder with DuckDB's extensions for a DuckLake, made from their Python wheels.
#
#   usage: infra/extensions.sh [VERSION]          (default 1.5.5, the newest that has such wheels)
#
# For machines that reach a Python package index but not DuckDB's own repository. The folder holds vVERSION/NAME.duckdb_extension for ducklake, postgres_scanner,
# sqlite_scanner and httpfs: it can be MATERIA_EXTENSIONS as it is, or what `materia extensions install --from` takes. DuckDB checks its makers' signature in them
# whenever it loads one. The result is kept in ${XDG_CACHE_HOME:-~/.cache}/materia and its checksums are verified on every call.
set -euo pipefail

version=${1:-1.5.5}
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
dir=$cache/extensions-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)

die() { printf 'extensions.sh: %s\n' "$*" >&2; exit 1; }
intact() { [ -f "$dir/SHA256SUMS" ] && (cd "$dir" && sha256sum --check --status SHA256SUMS); }

if intact; then
    printf '%s\n' "$dir"
    exit 0
fi

command -v python3 >/dev/null 2>&1 || die "python3 is missing; install it with: apt-get install python3 python3-pip"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; install it with: apt-get install python3-pip"

mkdir -p "$cache"
# Made beside its final place and renamed there whole: a folder with that name is never half-filled.
work=$(mktemp -d "$cache/.extensions-$version.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/made/v$version"
for name in ducklake postgres_scanner sqlite_scanner httpfs; do
    wheel=duckdb-extension-${name//_/-}
    PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: \
        --dest "$work/wheels/$name" "$wheel==$version" >&2 || die "pip could not download $wheel==$version"
    python3 -m zipfile -e "$work/wheels/$name"/*.whl "$work/unpacked/$name"
    file=$(find "$work/unpacked/$name" -path "*/v$version/*" -name "$name.duckdb_extension" | head -n 1)
    [ -n "$file" ] || die "the wheel $wheel $version holds no $name.duckdb_extension for DuckDB v$version"
    mv "$file" "$work/made/v$version/"
done

(cd "$work/made" && sha256sum -- v*/* > SHA256SUMS)
# Two runs at once make the same folder; whoever comes second finds a good one and uses it.
rm -rf "$dir.old"
[ ! -e "$dir" ] || mv "$dir" "$dir.old"
mv -T "$work/made" "$dir" 2>/dev/null || intact || die "could not place the extensions in $dir"
rm -rf "$dir.old"
printf '%s\n' "$dir"
