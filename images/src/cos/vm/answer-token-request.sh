#!/bin/bash
# answer-token-request.sh TOOL VERIFIER_URL AUDIENCE STATE_FOLDER: one connection of the token agent. In: 64 lower-case hex
# digits and a line feed, nothing else. Out: one line, `token <JWT>` or `error <CODE> <text>`. The audience is not for the client
# to say. One token at a time, thirty a minute: the TPM is slow, and so is the service behind it limited.
set -uo pipefail
umask 077
export LC_ALL=C
tool=$1 verifier_url=$2 audience=$3 state=$4
source "$(dirname "$0")/request-token.sh"

readonly REQUESTS_PER_MINUTE=30

refuse() {
  echo "refused: $1" >&2
  printf 'error %s %s\n' "$1" "$2"
  exit 0
}

invalid() {
  refuse REQUEST_INVALID "expected 64 lowercase hex characters and a line feed"
}

# Byte by byte, with NUL as what ends a piece: in longer pieces bash would drop NUL characters and not say so.
request=
until [[ $request == *$'\n' || ${#request} -gt 64 ]]; do
  [ "$SECONDS" -lt 5 ] || refuse TIMEOUT "no complete request within 5000 ms"
  IFS= read -r -d '' -n 1 -t $((5 - SECONDS)) byte
  case $? in
    0) [ -n "$byte" ] || invalid ;;
    1) invalid ;;
    *) refuse TIMEOUT "no complete request within 5000 ms" ;;
  esac
  request+=$byte
done
if [[ ! $request =~ ^[0-9a-f]{64}$'\n'$ ]] || IFS= read -r -t 0.02 -N 1; then invalid; fi
nonce=${request%$'\n'}

exec 9>>"$state/lock"
flock --wait 5 9 || refuse RATE_LIMITED "too many requests at once, try again in a second"

# Minutes since the machine has started: its clock may be set.
read -r uptime _ </proc/uptime
minute=$((${uptime%.*} / 60))
counted_minute=
if [ -s "$state/count" ]; then read -r counted_minute count <"$state/count"; fi
if [ "$counted_minute" != "$minute" ]; then count=0; fi
if [ "$count" -ge "$REQUESTS_PER_MINUTE" ]; then
  refuse RATE_LIMITED "too many requests, try again in a minute"
fi
echo "$minute $((count + 1))" >"$state/count"

file=$(mktemp "$state/token.XXXXXX") || refuse INTERNAL "internal error"
trap 'rm -f "$file"' EXIT
if ! request_token "$tool" "$verifier_url" "$audience" "$file" "$nonce" 9>&- </dev/null; then
  refuse ATTESTATION_UNAVAILABLE "the machine got no attestation token"
fi
printf 'token %s\n' "$(<"$file")"
echo "token issued" >&2
