# shellcheck shell=bash
# Sourced: obtains what the cluster consists of, from Debian and from Go modules.

kube_programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

install_packages() {
  local missing=() package
  for package in containerd runc containernetworking-plugins iptables conntrack openssl curl buildah mmdebstrap; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  progress "Installing ${missing[*]}" apt_install "${missing[@]}"
}

apt_install() {
  # Installing containerd would start it where there is systemd; ours has a configuration and a folder of its own.
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

need_go() {
  command -v go >/dev/null || die "needs Go 1.26 or newer to build $1: https://go.dev/dl"
  mkdir -p "$bin"
}

ensure_kubernetes() {
  local program
  if [ ! -x "$bin/kube" ] && [ "$(type -P kubelet kube-controller-manager kube-apiserver | wc -l)" -lt 3 ]; then
    need_go Kubernetes
    build_kube "$bin/kube.new" && mv "$bin/kube.new" "$bin/kube"
  fi
  [ -x "$bin/kube" ] || return 0
  for program in "${kube_programs[@]}"; do ln -sf kube "$bin/$program"; done
}

ensure_etcd() {
  type -P etcd >/dev/null && return 0
  need_go etcd
  build_etcd "$bin/etcd"
}

# ensure_module NAME MODULE VERSION PACKAGE
ensure_module() {
  type -P "$1" >/dev/null && return 0
  need_go "$1"
  build_module "$bin/$1" "$2" "$3" "$4"
}

ensure_coredns() { ensure_module coredns github.com/coredns/coredns "$COREDNS_VERSION" github.com/coredns/coredns; }

ensure_keda() {
  local module=github.com/kedacore/keda/v2
  ensure_module keda $module "$KEDA_VERSION" $module/cmd/operator
  ensure_module keda-adapter $module "$KEDA_VERSION" $module/cmd/adapter
}
