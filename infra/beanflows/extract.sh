#!/usr/bin/env bash
# Downloads the newest official file of one source into the landing folder.
#
#   extract.sh psd|cot|prices|rain
#
# The download is conditional (ETag): an unchanged source costs one request. landing.py converts the file to the layout that the models read, and
# refuses unexpected contents, such as a maintenance page; only then is the file renamed into place.
# A file that differs from the newest landed one becomes a new vintage, with today's date in its name.
#
# LANDING is the folder [default: landing next to this script]; PSD_URL, COT_URL, PRICES_URL, PRICES_PAGE and RAIN_URL override the sources.
# OPEN_METEO_KEY is the key of a plan for the rain: the service without one is for non-commercial use.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
landing=${LANDING:-$here/landing}

die() { printf 'extract.sh: %s\n' "$*" >&2; exit 1; }
fetch() { curl --fail --silent --show-error --location --retry 3 --retry-connrefused --connect-timeout 20 --max-time "${EXTRACT_MAX_TIME:-300}" "$@"; }

# The URL of the file changes every year, the URL of the page that links to it does not.
prices_url() {
    local page=${PRICES_PAGE:-https://www.worldbank.org/en/research/commodity-markets} link
    link=$(fetch "$page" | grep -oE 'https?://[^"'"'"' <>]+/CMO-Historical-Data-Monthly\.xlsx' | head -n 1) || true
    [ -n "$link" ] || die "$page has no link to CMO-Historical-Data-Monthly.xlsx any more; set PRICES_URL"
    printf '%s\n' "$link"
}

source=${1:-}
case $source in
    psd)
        url=${PSD_URL:-https://apps.fas.usda.gov/psdonline/downloads/psd_coffee_csv.zip}
        name=usda_psd_coffee
        ;;
    cot)
        # Disaggregated, futures and options combined; 083731 is Coffee C on ICE Futures U.S.
        url=${COT_URL:-https://publicreporting.cftc.gov/resource/kh3c-gbw2.csv?cftc_contract_market_code=083731&%24limit=50000}
        name=cot_coffee_disaggregated
        ;;
    prices)
        url=${PRICES_URL:-$(prices_url)}
        name=worldbank_pinksheet_coffee_monthly
        ;;
    rain)
        url=${RAIN_URL:-$(python3 "$here/landing.py" rain-url)}
        name=era5_monthly_precip_coffee_regions_models=era5
        ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

mkdir -p "$landing"
[ ! -e "$landing/SAMPLE.md" ] || die "$landing contains sample figures; set LANDING to another folder for official files"
work=$(mktemp -d "$landing/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
etag=$landing/.$name.etag
touch "$etag"

status=$(fetch --etag-compare "$etag" --etag-save "$work/etag" --output "$work/raw" --write-out '%{http_code}' "$url")
if [ "$status" = 304 ]; then
    printf '%s: unchanged at the source\n' "$source"
    exit 0
fi
[ -s "$work/raw" ] || die "${url%%\?*} sent nothing (status $status)"
python3 "$here/landing.py" "$source" "$work/raw" "$work/landed"

newest=$(find "$landing" -maxdepth 1 -name "${name}_*.csv" | sort | tail -n 1)
if [ -n "$newest" ] && cmp --silent "$newest" "$work/landed"; then
    printf '%s: the same figures as %s\n' "$source" "${newest##*/}"
else
    landed=$landing/${name}_$(date --utc +%Y-%m-%d).csv
    sync "$work/landed"
    mv --force --no-target-directory "$work/landed" "$landed"
    printf '%s: landed %s, %s lines\n' "$source" "${landed##*/}" "$(wc -l <"$landed")"
fi
# Saved last, so that the next run downloads the file again after any failure.
[ ! -e "$work/etag" ] || mv --force "$work/etag" "$etag"
