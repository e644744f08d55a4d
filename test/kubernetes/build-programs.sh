#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster (control plane, kubectl, kubelet, kube-proxy) and those
# beside it (etcd, CoreDNS, kube-router, which enforces network policies, and versitygw, an S3 server)
# from Go modules, once a version, into the cache outside the checkout, and prints the folder that has
# them all. Needs Go 1.26 (or one that can fetch it) and a Go module proxy; a quarter of an hour on
# two cores, then nothing to do. Exit code 3: no Go.
set -euo pipefail

version=1.36.3
# Program, version, module.
others='coredns v1.15.0 github.com/coredns/coredns
kube-router v2.1.0 github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
versitygw v1.8.0 github.com/versity/versitygw/cmd/versitygw'
cache="${LOCKSTEP_CI_CACHE:-/var/tmp/lockstep-ci}"
folder="$cache/kubernetes-v$version/bin"
programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet kube-proxy)

are_there() {
  local program
  for program in "$@"; do [ -x "$folder/$program" ] || return 1; done
}

need_go() {
  command -v go >/dev/null && return 0
  echo "Go is missing: $1 can not be built" >&2
  exit 3
}

mkdir -p "$cache"
scratch="$(mktemp -d "$cache/.programs.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
export CGO_ENABLED=0 GOWORK=off

build_kubernetes() {
  local component=k8s.io/component-base/version minor="${version#*.}" upstream flags program
  mkdir "$scratch/kubernetes"
  cd "$scratch/kubernetes"
  export GOFLAGS=-mod=mod
  # The module archive lacks the staging folders that its own go.mod points to: each is a module of
  # its own, released as v0.x of the same number.
  printf 'module kubebuild\n\ngo 1.26.0\n' >go.mod
  upstream="$(go mod download -json "k8s.io/kubernetes@v$version" \
    | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')"
  {
    printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$version"
    sed -n "s|^\t\(k8s.io/[a-z0-9-]*\) => ./staging/.*|\t\1 => \1 v0.${version#*.}|p" "$upstream"
    printf ')\n'
  } >>go.mod
  flags="-s -w -X $component.gitVersion=v$version -X $component.gitMajor=${version%%.*}"
  flags="$flags -X $component.gitMinor=${minor%%.*}"
  flags="$flags -X k8s.io/client-go/pkg/version.gitVersion=v$version"
  mkdir bin
  go build -ldflags "$flags" -o bin/ "${programs[@]/#/k8s.io/kubernetes/cmd/}" >&2
  # The etcd whose client that API server was built with.
  go build -ldflags '-s -w' -o bin/etcd go.etcd.io/etcd/server/v3 >&2
  # Each is renamed into place whole, so that two builds at a time do no harm.
  mkdir -p "$folder"
  for program in etcd "${programs[@]}"; do mv "bin/$program" "$folder/$program"; done
  unset GOFLAGS
  cd "$scratch"
}

if ! are_there etcd "${programs[@]}"; then
  need_go 'Kubernetes'
  build_kubernetes
fi

while read -r program its_version module; do
  own="$cache/$program-$its_version"
  if [ ! -x "$own/$program" ]; then
    need_go "$program"
    GOBIN="$scratch/$program" go install -ldflags '-s -w' "$module@$its_version" >&2
    mkdir -p "$own"
    mv "$scratch/$program/$program" "$own/$program"
  fi
  ln -sfn "../../$program-$its_version/$program" "$folder/$program"
done <<<"$others"
echo "$folder"
