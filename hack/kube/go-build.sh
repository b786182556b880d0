# shellcheck shell=bash
# Sourced: functions that build programs from Go modules. Progress goes to stderr.

kube_sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/versions.env
source "$kube_sources/../versions.env"

# progress WHAT COMMAND...: says what takes long, and for how long; shows what the command wrote when it fails.
progress() {
  local what=$1 started=$SECONDS output pid code=0 next=10
  shift
  output=$(mktemp)
  printf '%s\n' "$what" >&2
  "$@" >"$output" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - started >= next)); then
      printf '%s ... %d s\n' "$what" "$((SECONDS - started))" >&2
      next=$((next + 30))
    fi
  done
  wait "$pid" || code=$?
  [ "$code" -eq 0 ] || cat "$output" >&2
  rm -f "$output"
  return "$code"
}

# in_folder FOLDER COMMAND...
in_folder() { cd "$1" && shift && "$@"; }

# build_etcd FILE
build_etcd() {
  progress "Building etcd" in_folder "$kube_sources/etcd" env CGO_ENABLED=0 \
    go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$1" .
}

# build_kube FILE: one program that is kube-apiserver, kubelet, kubectl and so on, by the name it is called.
build_kube() {
  local package ldflags='-s -w' minor=${KUBE_VERSION#v1.}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ldflags+=" -X $package.gitVersion=$KUBE_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%.*}"
  done
  progress "Building Kubernetes $KUBE_VERSION (minutes and 3 GB of disk, the first time)" \
    in_folder "$kube_sources/kubernetes" go build -buildvcs=false -trimpath -ldflags "$ldflags" -o "$1" .
}

# module_folder MODULE VERSION: downloads a module and prints where it is.
module_folder() { (cd / && go mod download -json "$1@$2") | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'; }

# build_module FILE MODULE VERSION PACKAGE: a program at the versions that its own module pins. `go install` refuses a
# module with replacements, so they are brought along; those that point to a folder of its repository cannot be.
build_module() {
  local file=$1 module=$2 version=$3 package=$4 folder source code=0
  source=$(module_folder "$module" "$version")
  folder=$(mktemp -d)
  sed -E 's#^module .*#module longshore.dev/hack/build#; /=> \.\.?\//d' "$source/go.mod" >"$folder/go.mod"
  install -m 644 "$source/go.sum" "$folder/go.sum"
  (cd "$folder" && go mod edit -require "$module@$version")
  progress "Building $(basename "$file") $version (minutes, the first time)" in_folder "$folder" env CGO_ENABLED=0 \
    go build -mod=mod -trimpath -ldflags '-s -w' -o "$file" "$package" || code=$?
  rm -rf "$folder"
  return "$code"
}
