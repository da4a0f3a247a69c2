#!/usr/bin/env bash
# Backs the accounts up while the site runs, checks the copy, and removes copies that are older than a month. The newest seven always stay.
#
#   backup.sh FOLDER        (MATERIA is the command [materia]; DATABASE_URL names the accounts)
set -euo pipefail

folder=${1:?usage: backup.sh FOLDER}
days=30 least=7
umask 077
mkdir -p "$folder"
"${MATERIA:-materia}" users backup "$folder/accounts-$(date --utc +%Y%m%dT%H%M%SZ).db"

mapfile -t copies < <(find "$folder" -maxdepth 1 -name 'accounts-*.db' | sort)
for copy in "${copies[@]:0:$((${#copies[@]} > least ? ${#copies[@]} - least : 0))}"; do
    find "$copy" -mtime "+$days" -delete
done
