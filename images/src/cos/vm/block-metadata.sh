#!/bin/bash
# block-metadata.sh: keeps every container from the machine's metadata server, which gives out tokens of its service account.
# Only questions of names go through: the same address answers them. May be run again, also by two units at once; at no
# time is anything open that was closed.
set -euo pipefail

exec 9>>/run/polaris/metadata.lock
flock --wait 60 9

# Docker keeps this chain before its own rules. Where it has not made it yet, it takes the one that is there.
iptables -w -N DOCKER-USER 2>/dev/null || true

# Each goes before those that are there: the refusal first, then what is let through all the same.
ensure_rule() {
  iptables -w -C DOCKER-USER "$@" 2>/dev/null || iptables -w -I DOCKER-USER "$@"
}
ensure_rule -d 169.254.0.0/16 -j DROP
ensure_rule -d 169.254.169.254/32 -p udp --dport 53 -j RETURN
ensure_rule -d 169.254.169.254/32 -p tcp --dport 53 -j RETURN
