#!/bin/bash
# prepare-docker.sh INSIDE OUTSIDE [REGISTRY_HOST...]: makes the two networks if they are not there, and lets Docker's client
# log in to registries as the machine's service account. May be run again, also by two units at once.
set -euo pipefail
inside=$1 outside=$2
shift 2

exec 9>>/run/polaris/docker.lock
flock --wait 60 9

ensure_network() {
  local name=$1
  shift
  docker network inspect "$name" >/dev/null 2>&1 || docker network create "$@" "$name" >/dev/null
}
# Closed to other networks, and without an address of the machine in it: the workload finds no service of the machine.
ensure_network "$inside" --internal --opt com.docker.network.bridge.inhibit_ipv4=true
ensure_network "$outside"

if [ $# -gt 0 ]; then
  hosts=$(IFS=,; echo "$*")
  docker-credential-gcr configure-docker --registries "$hosts" >/dev/null
fi
