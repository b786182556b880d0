# shellcheck shell=bash
# Sourced: a Kubernetes of one node on a bare Debian machine, without a container engine: Debian packages and programs
# built from Go modules, as processes of this machine, and KEDA as pods.

for part in settings processes programs secrets network control-plane node images keda; do
  # shellcheck disable=SC1090
  source "$sources/bare/$part.sh"
done

bare_up() {
  [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] ||
    die "needs either a Docker engine that answers, or root on Debian (or Ubuntu)"
  mkdir -p "$bin" "$run" "$logs"
  install_packages
  ensure_kubernetes
  ensure_etcd
  ensure_coredns
  refuse_a_second_node
  ensure_secrets
  raise_network
  start_containerd
  ensure_pause_image
  start_etcd
  start_apiserver
  start_controllers
  start_kubelet
  start_kube_proxy
  start_dns
  wait_for_node
  renew_volumes
  install_keda
  ensure_base_images
}

bare_down() {
  [ -d "$run" ] || return 0
  stop kubelet kube-proxy coredns kube-scheduler kube-controller-manager
  stop kube-apiserver
  stop etcd
  end_pods
  lower_network
}

# bare_forget: objects, keys and volumes; programs and images stay.
bare_forget() { rm -rf "$home"/{etcd,kubelet,volumes,pki,cni,logs,run} "$KUBECONFIG"; }

bare_crash() { # as SIGKILL or a power cut would end a program, which comes back at once
  is_running "$1" || die "$1 does not run"
  kill -9 "$(cat "$run/$1.pid")"
  while is_running "$1"; do sleep 0.1; done
  start_again "$1"
}

bare_load() { load_images "$@"; }

bare_is_up() { is_running kubelet; }

bare_status() {
  local file
  for file in "$run"/*.pid; do
    [ -e "$file" ] || { say "nothing runs"; return; }
    file=$(basename "$file" .pid)
    if is_running "$file"; then printf '%-24s running\n' "$file"; else printf '%-24s ended\n' "$file"; fi
  done
}
