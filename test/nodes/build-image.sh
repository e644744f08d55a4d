#!/usr/bin/env bash
# Builds a target (cpu when not given) of deploy/docker/Dockerfile with buildah, and beside it the
# image of a pod's pause process, and prints the folder that has both as OCI archives
# (lockstep.tar, pause.tar). What did not change is not built again: layers are kept in the cache
# outside the checkout. Where no registry can be reached, the base image is replaced by Debian from
# the machine's mirror with the very Node that the Dockerfile names, from npm. Needs root, buildah,
# Go, and debootstrap for that. Exit code 3: something of these is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target="${1:-cpu}"
cache="${LOCKSTEP_CI_CACHE:-/var/tmp/lockstep-ci}"
storage="$cache/containers"
# More than this many MiB of layers, and they are all made anew.
storage_limit=30000

for program in buildah go; do
  command -v "$program" >/dev/null && [ "$(id -u)" = 0 ] || {
    echo "an image needs root and $program" >&2
    exit 3
  }
done
mkdir -p "$cache/images"
scratch="$(mktemp -d "$cache/.image.XXXXXX")"
# Beside its storage buildah keeps notes in a folder that no flag names.
notes=''
[ -e /var/lib/containers ] || notes=/var/lib/containers
trap 'rm -rf "$scratch" $notes' EXIT
size="$(du -sm "$storage" 2>/dev/null | cut -f 1)"
if [ "${size:-0}" -gt "$storage_limit" ]; then rm -rf "$storage"; fi

# Nothing of the machine's own images or settings is used or changed.
export BUILDAH_ISOLATION=chroot TMPDIR="$scratch" CONTAINERS_CONF="$scratch/containers.conf"
mkdir "$scratch/cni"
printf '[network]\nnetwork_backend = "cni"\nnetwork_config_dir = "%s/cni"\n' "$scratch" \
  >"$CONTAINERS_CONF"
printf '{"default":[{"type":"insecureAcceptAnything"}]}' >"$scratch/policy.json"
printf 'unqualified-search-registries = ["docker.io"]\n' >"$scratch/registries.conf"
bud() {
  local command=$1
  shift
  buildah --root "$storage" --runroot "$cache/.containers-run" --storage-driver overlay \
    --registries-conf "$scratch/registries.conf" "$command" "$@"
}
policy() { bud "$1" --signature-policy "$scratch/policy.json" "${@:2}"; }

# Debian of that name with that Node; npm and the certificates are the machine's.
make_base() {
  local node=$1 suite=$2 name=$3 root="$scratch/root" npm package working
  command -v debootstrap >/dev/null || {
    echo 'no registry can be reached, and there is no debootstrap for a base image' >&2
    exit 3
  }
  debootstrap --variant=minbase --include=ca-certificates,libstdc++6 "$suite" "$root" \
    "$(sed -n 's/^URIs: *//p; s/^deb \(http[^ ]*\) .*/\1/p' /etc/apt/sources.list.d/debian.sources \
      /etc/apt/sources.list 2>/dev/null | head -1)" >&2
  package="node-linux-$(node -p 'process.arch')"
  npm install --silent --no-save --prefix "$scratch/node" "$package@$node" >&2
  install -D "$scratch/node/node_modules/$package/bin/node" "$root/usr/local/bin/node"
  npm="$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")"
  mkdir -p "$root/usr/local/lib/node_modules" "$root/usr/local/etc"
  cp -r "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$(npm config get registry)" \
    >"$root/usr/local/etc/npmrc"
  echo 'node:x:1000:1000::/tmp:/bin/sh' >>"$root/etc/passwd"
  echo 'node:x:1000:' >>"$root/etc/group"
  rm -rf "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
  mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"
  working="$(policy from scratch)"
  bud copy "$working" "$root" / >&2
  policy commit --rm "$working" "$name" >&2
  rm -rf "$root" "$scratch/node"
}

base_arguments=()
wanted="$(sed -n 's/^ARG NODE_IMAGE=\(.*\)$/\1/p' deploy/docker/Dockerfile)"
read -r node suite < <(sed 's/^node:\([0-9.]*\)-\([a-z]*\)-slim.*$/\1 \2/' <<<"$wanted")
if ! policy pull --quiet --policy=ifmissing "$wanted" >&2 2>/dev/null; then
  base="localhost/lockstep-base:$node-$suite"
  if ! bud inspect --type image "$base" >/dev/null 2>&1; then
    echo "no registry can be reached: a base image of Debian $suite and Node $node" >&2
    make_base "$node" "$suite" "$base"
  fi
  base_arguments=(--build-arg "NODE_IMAGE=$base")
fi

name="localhost/lockstep:$target"
policy build --layers --pull=never --network host --target "$target" "${base_arguments[@]}" \
  -f deploy/docker/Dockerfile --ignorefile deploy/docker/Dockerfile.dockerignore \
  --iidfile "$scratch/id" -t "$name" . >&2

# Named after what is in it, so that other checkouts can build theirs.
folder="$cache/images/$target-$(sed 's/^sha256://' "$scratch/id" | cut -c 1-16)"
if [ ! -f "$folder/lockstep.tar" ] || [ ! -f "$folder/pause.tar" ]; then
  mkdir "$scratch/out"
  policy push --quiet "$name" "oci-archive:$scratch/out/lockstep.tar:$name" >&2
  CGO_ENABLED=0 GOWORK=off go build -C test/nodes/pause -ldflags '-s -w' -o "$scratch/pause" .
  working="$(policy from scratch)"
  bud copy "$working" "$scratch/pause" /pause >&2
  bud config --user 65535:65535 --entrypoint '["/pause"]' "$working"
  policy commit --rm "$working" localhost/pause:1 >&2
  policy push --quiet localhost/pause:1 "oci-archive:$scratch/out/pause.tar:localhost/pause:1" >&2
  rm -rf "$folder"
  mv -T "$scratch/out" "$folder"
fi
# Two of a target are kept: of this checkout and of another.
ls -dt "$cache/images/$target"-* | tail -n +3 | xargs -r rm -rf
echo "$folder"
