#!/bin/bash
# renew-machine-token.sh TOOL VERIFIER_URL AUDIENCE FOLDER GROUP_ID: the machine's own token into FOLDER/attestation-token,
# for root and one group. Readers see the old token or the new one, whole: it is written aside and renamed. Prints the token's
# claims, which are no secret; never the token.
set -euo pipefail
umask 077
export LC_ALL=C
tool=$1 verifier_url=$2 audience=$3 folder=$4 group_id=$5
source "$(dirname "$0")/request-token.sh"

file=$(mktemp "$folder/.token.XXXXXX")
trap 'rm -f "$file"' EXIT

for pause in 1 2 4 8 16 0; do
  if request_token "$tool" "$verifier_url" "$audience" "$file"; then break; fi
  if [ "$pause" = 0 ]; then
    echo "polaris: the machine got no attestation token" >&2
    exit 1
  fi
  sleep "$pause"
done

payload=$(cut -d . -f 2 "$file" | tr '_-' '/+')
chown "0:$group_id" "$file"
chmod 0640 "$file"
mv --force --no-target-directory "$file" "$folder/attestation-token"

while [ $((${#payload} % 4)) -ne 0 ]; do payload+="="; done
claims=$(base64 --decode <<<"$payload" | tr -cd '[:print:]') || claims="that cannot be read"
echo "polaris: attestation token with the claims $claims"
