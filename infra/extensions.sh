#!/usr/bin/env bash
# Prints a folder with the DuckDB extensions that a DuckLake needs, from their Python wheels.
#
#   usage: infra/extensions.sh [VERSION]          (default 1.5.5, the newest with such wheels; any version with hashes in infra/requirements)
#
# For machines that reach a Python package index but not DuckDB's extension repository. The folder contains vVERSION/NAME.duckdb_extension for ducklake,
# postgres_scanner, sqlite_scanner and httpfs: use it as MATERIA_EXTENSIONS or with `materia extensions install --from`. DuckDB verifies the signature of
# each extension when it loads it. The result is cached in ${XDG_CACHE_HOME:-~/.cache}/materia, and its checksums are verified on every call.
set -euo pipefail

version=${1:-1.5.5}
requirements=$(cd "$(dirname "${BASH_SOURCE[0]}")/requirements" && pwd)
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

[ -e "$requirements/extensions-$version.txt" ] || die "there are no hashes for the extensions of DuckDB $version; add infra/requirements/extensions-$version.in and run infra/requirements/compile.sh"

mkdir -p "$cache"
# Built next to the final folder and then renamed, so that the final folder is never incomplete.
work=$(mktemp -d "$cache/.extensions-$version.XXXXXX")
trap 'rm -rf "$work"' EXIT

PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: \
    --dest "$work/wheels" --require-hashes --requirement "$requirements/extensions-$version.txt" >&2 \
    || die "pip could not download the extensions of DuckDB $version with known hashes"
mkdir -p "$work/made/v$version"
for name in ducklake postgres_scanner sqlite_scanner httpfs; do
    python3 -m zipfile -e "$work/wheels/duckdb_extension_$name"-*.whl "$work/unpacked/$name" || die "the wheel of $name $version could not be unpacked"
    file=$(find "$work/unpacked/$name" -path "*/v$version/*" -name "$name.duckdb_extension" | head -n 1)
    [ -n "$file" ] || die "the wheel of $name $version has no $name.duckdb_extension for DuckDB v$version"
    mv "$file" "$work/made/v$version/"
done

(cd "$work/made" && sha256sum -- v*/* > SHA256SUMS)
# Of two concurrent runs, the second finds a valid folder and uses it.
rm -rf "$dir.old"
[ ! -e "$dir" ] || mv "$dir" "$dir.old"
mv -T "$work/made" "$dir" 2>/dev/null || intact || die "could not place the extensions in $dir"
rm -rf "$dir.old"
printf '%s\n' "$dir"
