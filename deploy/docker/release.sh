#!/usr/bin/env bash
# npm run image:release -- TARGET NAME:TAG [FLAG...]
# Builds an image to be given to others: from the Dockerfile's base image, which must be named by its
# digest, and from a checkout without changes. The image says by labels what it was made of.
#   npm run image:release -- cpu registry.example/lockstep:0.1.0
# BUILDER names another builder than docker ("buildah", "podman"); flags are passed on to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
  printf '%s\n' "$1" >&2
  exit 78
}

[ $# -ge 2 ] || fail 'usage: npm run image:release -- TARGET NAME:TAG [FLAG...]'
target=$1 name=$2
shift 2
node_image="$(sed -n 's/^ARG NODE_IMAGE=//p' deploy/docker/Dockerfile)"
[[ "$node_image" =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] || fail \
  "NODE_IMAGE in deploy/docker/Dockerfile: given $node_image; allowed: name:tag@sha256:DIGEST (docker buildx imagetools inspect names it)"
case "$target" in cpu | gpu | xla) ;; *) fail "TARGET: given $target; allowed: cpu, gpu, xla" ;; esac
[ -z "$(git status --porcelain)" ] || fail 'the checkout has changes: commit them first'

exec "${BUILDER:-docker}" build -f deploy/docker/Dockerfile --target "$target" -t "$name" \
  --label "org.opencontainers.image.base.name=${node_image%@*}" \
  --label "org.opencontainers.image.base.digest=${node_image#*@}" \
  --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" \
  "$@" --build-arg "NODE_IMAGE=$node_image" .
