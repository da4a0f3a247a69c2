#!/usr/bin/env bash
# Backs up the accounts while the site runs, verifies the copy, and removes copies older than a month. The newest seven are always kept.
# A failed backup leaves its reason in FOLDER/failed until one succeeds.
#
#   backup.sh FOLDER        (MATERIA is the command [materia]; DATABASE_URL names the accounts)
set -euo pipefail

folder=${1:?usage: backup.sh FOLDER}
days=30 least=7
umask 077
mkdir -p "$folder"
# `materia status` and `materia alert` report the contents of this file. On a full disk it is created empty, which is reported, too.
if ! said=$("${MATERIA:-materia}" users backup "$folder/accounts-$(date --utc +%Y%m%dT%H%M%SZ).db" 2>&1); then
    printf '%s\n' "$said" >&2
    printf '%s\n' "$said" >"$folder/failed" || true
    exit 1
fi
rm -f "$folder/failed"
printf '%s\n' "$said"

mapfile -t copies < <(find "$folder" -maxdepth 1 -name 'accounts-*.db' | sort)
for copy in "${copies[@]:0:$((${#copies[@]} > least ? ${#copies[@]} - least : 0))}"; do
    find "$copy" -mtime "+$days" -delete
done
