# Read by the scripts that need a token; nothing is done here.

# request_token TOOL VERIFIER_URL AUDIENCE FILE [NONCE]: one attestation token into FILE, which must be there already. Fails
# if the tool does, takes longer than nine seconds, or writes anything but a token.
request_token() {
  local tool=$1 verifier_url=$2 audience=$3 file=$4
  local options=(--verifier-endpoint "$verifier_url" --audience "$audience" --output "$file")
  if [ $# -gt 4 ]; then options+=(--custom-nonce "$5"); fi
  timeout 9 "$tool" token "${options[@]}" >/dev/null || return 1
  [[ $(<"$file") =~ ^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$ ]]
}
