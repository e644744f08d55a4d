#!/usr/bin/env bash
# Builds what a Kubernetes control plane without containers needs (etcd, kube-apiserver,
# kube-controller-manager, kube-scheduler, kubectl) from Go modules, once a version, into a folder
# outside the checkout, and prints that folder. Needs Go 1.26 (or one that can fetch it) and a Go
# module proxy; six minutes on two cores, then nothing to do. Exit code 3: no Go.
set -euo pipefail

version=1.36.3
cache="${LOCKSTEP_CI_CACHE:-/var/tmp/lockstep-ci}"
folder="$cache/kubernetes-v$version/bin"
programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl)

is_complete() {
  local program
  for program in etcd "${programs[@]}"; do [ -x "$folder/$program" ] || return 1; done
}

if is_complete; then
  echo "$folder"
  exit 0
fi
if ! command -v go >/dev/null; then
  echo 'Go is missing: no Kubernetes control plane can be built' >&2
  exit 3
fi

mkdir -p "$cache"
scratch="$(mktemp -d "$cache/.kubernetes-v$version.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off

# The module archive lacks the staging folders that its own go.mod points to: each is a module of
# its own, released as v0.x of the same number.
module() { go mod download -json "k8s.io/kubernetes@v$version"; }
printf 'module kubebuild\n\ngo 1.26.0\n' >go.mod
upstream="$(module | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')"
{
  printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$version"
  sed -n "s|^\t\(k8s.io/[a-z0-9-]*\) => ./staging/.*|\t\1 => \1 v0.${version#*.}|p" "$upstream"
  printf ')\n'
} >>go.mod

component=k8s.io/component-base/version
minor="${version#*.}"
flags="-s -w -X $component.gitVersion=v$version -X $component.gitMajor=${version%%.*}"
flags="$flags -X $component.gitMinor=${minor%%.*} -X k8s.io/client-go/pkg/version.gitVersion=v$version"
mkdir bin
go build -ldflags "$flags" -o bin/ "${programs[@]/#/k8s.io/kubernetes/cmd/}" >&2
# The etcd whose client that API server was built with.
go build -ldflags '-s -w' -o bin/etcd go.etcd.io/etcd/server/v3 >&2

# Renamed into place whole, so that two builds at a time do no harm.
mkdir -p "${folder%/bin}"
mv -T bin "$folder" 2>/dev/null || is_complete
echo "$folder"
