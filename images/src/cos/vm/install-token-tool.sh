#!/bin/bash
# install-token-tool.sh URL SHA256 FOLDER: downloads an archive and puts its program gotpm into FOLDER. What has not the
# expected hash is neither unpacked nor ever executable. FOLDER is in memory: between the check and the start nobody who has
# the machine's disk can change the program.
set -euo pipefail
umask 077
url=$1 sha256=$2 folder=$3

mkdir -p "$folder"
archive=$(mktemp "$folder/.archive.XXXXXX")
program=$(mktemp "$folder/.gotpm.XXXXXX")
trap 'rm -f "$archive" "$program"' EXIT

# The pauses between the attempts double. The address may lead to another one: what comes is judged by its hash.
curl --silent --show-error --fail --location --proto '=http,https' --retry 6 --retry-all-errors \
  --connect-timeout 10 --max-time 300 --max-filesize 100000000 --output "$archive" --url "$url"

read -r found _ < <(sha256sum "$archive")
if [ "$found" != "$sha256" ]; then
  echo "the token tool is not the one that is pinned: expected sha256 $sha256, got $found" >&2
  exit 1
fi
tar --extract --gzip --to-stdout --file "$archive" gotpm >"$program"
chmod 0500 "$program"
mv --force "$program" "$folder/gotpm"
