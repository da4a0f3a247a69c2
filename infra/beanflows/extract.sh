#!/usr/bin/env bash
# Lands one source's official file, if there is a newer one.
#
#   extract.sh psd|cot|prices
#
# The download is conditional (ETag): an unchanged source costs one request. What was fetched is brought into the layout that the models read
# (landing.py), which also refuses what is not what was expected, such as a page about maintenance; only then it gets its name, in one step.
# A file that differs from the newest landed one becomes another vintage, with today's date in its name.
#
# LANDING is the folder [default: landing beside this script]; PSD_URL, COT_URL, PRICES_URL and PRICES_PAGE are other places to fetch from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
landing=${LANDING:-$here/landing}

die() { printf 'extract.sh: %s\n' "$*" >&2; exit 1; }
fetch() { curl --fail --silent --show-error --location --retry 3 --retry-connrefused --connect-timeout 20 --max-time "${EXTRACT_MAX_TIME:-300}" "$@"; }

# The file's address has a part that changes every year: the page that links to it does not.
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
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

mkdir -p "$landing"
[ ! -e "$landing/SAMPLE.md" ] || die "$landing holds sample figures; official files land in a folder of their own (LANDING)"
work=$(mktemp -d "$landing/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
etag=$landing/.$name.etag
touch "$etag"

status=$(fetch --etag-compare "$etag" --etag-save "$work/etag" --output "$work/raw" --write-out '%{http_code}' "$url")
if [ "$status" = 304 ]; then
    printf '%s: unchanged at the source\n' "$source"
    exit 0
fi
[ -s "$work/raw" ] || die "$url sent nothing (status $status)"
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
# Last: whatever went wrong before, the next run fetches it again.
[ ! -e "$work/etag" ] || mv --force "$work/etag" "$etag"
