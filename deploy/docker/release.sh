#!/usr/bin/env bash
# npm run image:release -- NODE_IMAGE TARGET NAME:TAG [FLAG...]
# Builds an image to be given to others: from a base image that is named by its digest, since a tag
# may be moved, and from a checkout without changes. The image says by labels what it was made of.
#   npm run image:release -- node:24.21.0-bookworm-slim@sha256:... cpu registry.example/lockstep:0.1.0
# BUILDER names another builder than docker ("buildah", "podman"); flags are passed on to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
  printf '%s\n' "$1" >&2
  exit 78
}

[ $# -ge 3 ] || fail 'usage: npm run image:release -- NODE_IMAGE TARGET NAME:TAG [FLAG...]'
node_image=$1 target=$2 name=$3
shift 3
[[ "$node_image" =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] || fail \
  "NODE_IMAGE: given $node_image; allowed: name:tag@sha256:DIGEST (docker buildx imagetools inspect node:24.21.0-bookworm-slim names it)"
case "$target" in cpu | gpu | xla) ;; *) fail "TARGET: given $target; allowed: cpu, gpu, xla" ;; esac
[ -z "$(git status --porcelain)" ] || fail 'the checkout has changes: commit them first'

exec "${BUILDER:-docker}" build -f deploy/docker/Dockerfile --target "$target" -t "$name" \
  --build-arg "NODE_IMAGE=$node_image" \
  --label "org.opencontainers.image.base.name=${node_image%@*}" \
  --label "org.opencontainers.image.base.digest=${node_image#*@}" \
  --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" \
  "$@" .
