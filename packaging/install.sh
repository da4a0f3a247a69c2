#!/bin/sh
# Installs materia, or the engine for a DuckLake, from this script's folder.
#
#   ./install.sh [--prefix DIR] [--uninstall]          (default: /usr/local for root, ~/.local for others)
#
# Every file is verified against SHA256SUMS first. Published data is never touched, not even by --uninstall.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix='' uninstall=''
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --prefix) [ $# -gt 1 ] || { printf 'install.sh: --prefix needs a folder\n' >&2; exit 2; }; prefix=$2; shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --uninstall) uninstall=yes ;;
        --help | -h) usage; exit 0 ;;
        *) printf 'install.sh: unknown argument %s; see --help\n' "$1" >&2; exit 2 ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=${HOME:?HOME is not set; use --prefix}/.local; fi
fi

files() { sed 's/^[0-9a-f]*  //' "$here/SHA256SUMS"; }

if [ -n "$uninstall" ]; then
    files | while IFS= read -r file; do rm -f "$prefix/$file"; done
    find "$prefix/lib/materia" "$prefix/share/doc/materia" -depth -type d -empty -delete 2>/dev/null || true
    printf 'removed materia from %s\n' "$prefix"
    exit 0
fi

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || case $here in *"-$(uname -m)-linux-"*) ;; *) die "this package is not for $(uname -s) on $(uname -m)" ;; esac
(cd "$here" && sha256sum --check --quiet SHA256SUMS) || die "a file does not match its checksum; download the tarball again"
# Files are replaced by renaming, so that a running command keeps the old ones.
files | while IFS= read -r file; do
    mkdir -p "$prefix/$(dirname "$file")" || die "cannot write to $prefix; choose another folder with --prefix, or run as root"
    cp -p "$here/$file" "$prefix/$file.new" || die "cannot write to $prefix; choose another folder with --prefix, or run as root"
    mv -f "$prefix/$file.new" "$prefix/$file"
done
engine=$(files | sed -n 's|^lib/materia/duckdb-\([^/]*\)/libduckdb.so$|\1|p')
if [ -n "$engine" ]; then
    printf 'installed DuckDB %s; to run materia on it, set MATERIA_DUCKDB=%s in the environment, then: materia extensions install\n' "$engine" "${engine%.*}"
    exit 0
fi
env -u LD_LIBRARY_PATH "$prefix/bin/materia" --version || die "materia does not run here: it needs Linux with glibc 2.35 or newer"
case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) printf 'add it to the PATH: export PATH="%s/bin:%s"\n' "$prefix" "\$PATH" ;;
esac
