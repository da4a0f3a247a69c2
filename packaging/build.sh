#!/usr/bin/env bash
# Builds materia's packages in dist/, reproducibly for the same commit, compiler and DuckDB.
#
#   packaging/build.sh [--profile release|dev] [wheel] [deb] [tarball] [lake] [image] [sbom]          (default: all of them)
#
# lake is the engine for a DuckLake, materia-lake, as a tarball and a .deb: DuckDB 1.5 with its extensions, installed next to the linked one.
# `MATERIA_DUCKDB=1.5` selects it.
# Needs Rust, a C compiler, Python and, for the .deb, dpkg-dev; DUCKDB_LIB_DIR is the library to package (default: infra/libduckdb.sh).
# image needs buildah, podman or docker and a registry, and is skipped without them; see packaging/Dockerfile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/materia
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
profile=release kinds=()

die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*" >&2; }

while [ $# -gt 0 ]; do
    case $1 in
        --profile) [ $# -gt 1 ] || die "--profile needs release or dev"; profile=$2; shift ;;
        wheel | deb | tarball | lake | image | sbom) kinds+=("$1") ;;
        --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "unknown argument $1; see --help" ;;
    esac
    shift
done
[ ${#kinds[@]} -gt 0 ] || kinds=(wheel deb tarball lake sbom image)
case $profile in release) built=release ;; dev) built=debug ;; *) die "the profile is release or dev, not $profile" ;; esac

[ "$(uname -s)" = Linux ] || die "packages are built on Linux only; for the macOS wheel see .github/workflows/release.yml"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
architecture=$(uname -m)
name=materia-$version-$architecture-linux-gnu
[ -n "${DUCKDB_LIB_DIR:-}" ] || DUCKDB_LIB_DIR=$(infra/libduckdb.sh)
export DUCKDB_LIB_DIR
# Reproducible builds: every timestamp in a package is the commit's.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || printf 0)
export SOURCE_DATE_EPOCH
if [ "$profile" = release ]; then
    MATERIA_COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null || printf unknown)
    git diff --quiet HEAD 2>/dev/null || MATERIA_COMMIT+=-modified
    export MATERIA_COMMIT
    # Keeps this machine's paths, and thereby the user's name, out of the binary.
    export RUSTFLAGS="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo ${RUSTFLAGS:-}"
fi

# Prints the path of a cargo tool, installed in this version with its locked dependencies.
cargo_tool() {
    local place=$cache/$1-$2
    [ -x "$place/bin/$1" ] || env --unset=CARGO_TARGET_DIR --unset=RUSTFLAGS cargo install "$1" --version "$2" --locked --root "$place" >&2 \
        || die "$1 could not be installed; install it with: cargo install $1 --version $2"
    printf '%s\n' "$place/bin/$1"
}

# Prints the bin folder of a Python environment with the packaging tools, each file checked against its hash.
python_tools() {
    local venv=$cache/packaging requirements=infra/requirements/packaging.txt
    if ! cmp --silent "$requirements" "$venv/holds"; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2
        "$venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --only-binary :all: --require-hashes --requirement "$requirements" >&2 \
            || die "the packages of $requirements could not be installed"
        cp "$requirements" "$venv/holds"
    fi
    printf '%s\n' "$venv/bin"
}

# Stages bin, lib and share as they are laid out below a prefix, for the .deb, the tarball and the image.
stage() {
    say "materia $version, $profile"
    cargo build --profile "$profile" --locked --bin materia
    rm -rf dist/stage
    install -D "$CARGO_TARGET_DIR/$built/materia" dist/stage/bin/materia
    [ "$profile" = release ] || strip dist/stage/bin/materia
    install -D --mode 644 --target-directory dist/stage/lib/materia "$DUCKDB_LIB_DIR"/libduckdb*.so
    strip --strip-unneeded dist/stage/lib/materia/libduckdb_pystub.so
    local materia=(env --unset=LD_LIBRARY_PATH dist/stage/bin/materia)
    "${materia[@]}" --version >/dev/null || die "the command does not find its library in lib/materia"
    "${materia[@]}" man dist/stage/share/man/man1 >/dev/null
    mkdir -p dist/stage/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
    "${materia[@]}" completions bash >dist/stage/share/bash-completion/completions/materia
    "${materia[@]}" completions zsh >dist/stage/share/zsh/vendor-completions/_materia
    "${materia[@]}" completions fish >dist/stage/share/fish/vendor_completions.d/materia.fish
    install -D --mode 644 --target-directory dist/stage/share/doc/materia LICENSE-MIT LICENSE-APACHE web/assets/fonts/OFL.txt docs/settings.md docs/operations.md docs/dashboards.md
    install --mode 644 web/.env.example dist/stage/share/doc/materia/env.example
    install --mode 644 CHANGELOG.md dist/stage/share/doc/materia/NEWS.md
    find dist/stage -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}

wheel() {
    say "wheel"
    local tools data=python/materia_duckdb.data
    tools=$(python_tools)
    rm -rf "$data" dist/wheel
    install -D --mode 755 --target-directory "$data/data/lib/materia" "$DUCKDB_LIB_DIR"/libduckdb*.so
    install -D --mode 755 --target-directory "$data/scripts" packaging/materia-duckdb
    # The command finds the library in lib/materia. maturin's repair would move it to where Python looks for libraries, and
    # the command does not look there.
    (cd python && "$tools/maturin" build --profile "$profile" --locked --auditwheel skip --compatibility linux --out ../dist/wheel)
    rm -rf "$data"
    "$tools/python" packaging/tag_wheel.py dist/wheel/*.whl dist
    rm -rf dist/wheel
}

deb() {
    say ".deb"
    command -v dpkg-shlibdeps >/dev/null || die "dpkg-shlibdeps is missing; install it with: apt-get install dpkg-dev"
    local tool
    tool=$(cargo_tool cargo-deb 3.8.0)
    gzip --best --no-name --force --keep dist/stage/share/man/man1/*.1
    printf 'materia (%s) unstable; urgency=medium\n\n  * See NEWS.md.\n\n -- The materia contributors <materia@example.com>  %s\n' \
        "$version" "$(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")" >dist/stage/changelog
    "$tool" --package materia-cli --no-build --no-strip --locked --output "dist/materia_${version}_$(dpkg --print-architecture).deb" >&2
    rm dist/stage/share/man/man1/*.gz dist/stage/changelog
}

tarball() {
    say "tarball"
    local root=dist/tarball/$name
    rm -rf dist/tarball
    mkdir -p dist/tarball
    cp -r dist/stage "$root"
    pack "$name"
}

# Makes a tarball with install.sh of a folder in dist/tarball.
pack() {
    install --mode 755 packaging/install.sh "dist/tarball/$1/"
    (cd "dist/tarball/$1" && find . -mindepth 2 -type f -printf '%P\0' | sort --zero-terminated | xargs --null sha256sum >SHA256SUMS)
    tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go-w --directory dist/tarball "$1" \
        | gzip --best --no-name >"dist/$1.tar.gz"
    rm -rf dist/tarball
}

# The engine does not depend on the command, so the two packages can be upgraded separately.
lake() {
    say "engine for a DuckLake"
    local library extensions engine name=materia-lake-$version-$architecture-linux-gnu root size
    library=$(infra/libduckdb.sh --for lake)
    engine=$(basename "$library")
    engine=${engine#libduckdb-}
    engine=${engine%%-*}
    extensions=$(infra/extensions.sh "$engine")
    rm -rf dist/tarball dist/lake
    root=dist/tarball/$name
    install -D --mode 644 --target-directory "$root/lib/materia/duckdb-$engine" "$library"/libduckdb*.so
    strip --strip-unneeded "$root/lib/materia/duckdb-$engine/libduckdb_pystub.so"
    install -D --mode 644 --target-directory "$root/lib/materia/duckdb-$engine/extensions/v$engine" "$extensions/v$engine"/*.duckdb_extension
    if command -v dpkg-deb >/dev/null; then
        mkdir -p dist/lake/DEBIAN dist/lake/usr
        cp -r "$root/lib" dist/lake/usr/
        install -D --mode 644 packaging/debian/copyright dist/lake/usr/share/doc/materia-lake/copyright
        size=$(du --summarize --apparent-size --block-size=1K dist/lake/usr | cut --fields=1)
        sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$(dpkg --print-architecture)/; s/@SIZE@/$size/; s/@ENGINE@/$engine/" packaging/debian/lake-control >dist/lake/DEBIAN/control
        find dist/lake -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
        dpkg-deb --root-owner-group -Zxz --build dist/lake "dist/materia-lake_${version}_$(dpkg --print-architecture).deb" >&2
        rm -rf dist/lake
    else
        printf 'build.sh: dpkg-deb is missing; the .deb of the engine is skipped\n' >&2
    fi
    pack "$name"
}

sbom() {
    say "SBOM"
    local tool
    tool=$(cargo_tool cargo-cyclonedx 0.5.9)
    "$tool" cyclonedx --manifest-path cli/Cargo.toml --format json --spec-version 1.5 --override-filename materia-sbom --quiet
    # One is written for each package of the workspace; the command's includes the others.
    mv cli/materia-sbom.json "dist/materia-$version.cdx.json"
    rm -f materia-sbom.json ./*/materia-sbom.json
}

image() {
    local tool
    tool=$(command -v buildah || command -v podman || command -v docker || true)
    if [ -z "$tool" ]; then
        printf 'build.sh: buildah, podman and docker are missing; the image is skipped\n' >&2
        return 0
    fi
    say "image, with $tool"
    "$tool" build --file packaging/Dockerfile --build-arg "DEB=materia_${version}_$(dpkg --print-architecture).deb" --tag "materia:$version" dist
}

mkdir -p dist
# The engine alone needs no build.
[ "${kinds[*]}" = lake ] || stage
for kind in "${kinds[@]}"; do "$kind"; done
(cd dist && find materia* -maxdepth 0 -type f | sort | xargs --no-run-if-empty sha256sum >SHA256SUMS)
say "dist"
(cd dist && ls -l -- *.whl *.deb *.tar.gz *.json SHA256SUMS 2>/dev/null) || true
