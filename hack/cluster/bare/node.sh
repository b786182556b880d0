# shellcheck shell=bash
# Sourced: containerd, kubelet, kube-proxy and DNS on this machine, and volumes in a folder of it.

containerd_socket=$run/containerd.sock
node_ctr() { ctr -a "$containerd_socket" -n k8s.io "$@"; }

start_containerd() {
  mkdir -p "$home/containerd"
  # restrict_oom_score_adj: a container of its own may not have the right to lower a score, and then nothing would start.
  cat >"$home/containerd.toml" <<T
version = 2
root = "$home/containerd"
state = "$run/containerd"
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$home/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
T
  start containerd --config "$home/containerd.toml" --log-level warn
  wait_for 30 containerd node_ctr version
}

start_kubelet() {
  # Version 1 of cgroups is still what some machines and sandboxes have.
  cat >"$home/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [$node_ip]
clusterDomain: cluster.local
resolvConf: /dev/null
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
maxPods: 200
evictionHard: {memory.available: 200Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
syncFrequency: 10s
kubeAPIQPS: 100
kubeAPIBurst: 200
Y
  start kubelet --config="$home/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" --cert-dir="$pki" \
    --hostname-override=$node --node-ip=$node_ip --root-dir="$home/kubelet"
}

start_kube_proxy() {
  start kube-proxy --kubeconfig="$pki/kube-proxy.kubeconfig" --hostname-override=$node --cluster-cidr=$pod_cidr \
    --proxy-mode=iptables --oom-score-adj=0 --conntrack-max-per-core=0 \
    --metrics-bind-address=127.0.0.1:10249 --healthz-bind-address=127.0.0.1:10256
}

start_dns() {
  cat >"$home/Corefile" <<C
.:53 {
  bind $node_ip
  errors
  health 127.0.0.1:10253
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $pki/coredns.kubeconfig longshore
    ttl 5
  }
  cache 5
}
C
  start coredns -conf "$home/Corefile"
}

wait_for_node() {
  wait_for 60 kubelet kubectl wait --for=condition=Ready "node/$node" --timeout=1s
  wait_for 30 kube-controller-manager kubectl get serviceaccount default
}

# renew_volumes: a default storage class of twelve volumes. Those whose claims are gone are emptied and offered again.
renew_volumes() {
  local i phases released
  phases=$(kubectl get pv -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}')
  mapfile -t released < <(sed -n 's/ Released$//p' <<<"$phases")
  [ ${#released[@]} -eq 0 ] || kubectl delete pv "${released[@]}" >/dev/null
  {
    cat <<'Y'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
Y
    for i in {0..11}; do
      grep -q "^local-$i " <(grep -v ' Released$' <<<"$phases") && continue
      rm -rf "$home/volumes/$i"
      mkdir -p "$home/volumes/$i" && chmod 777 "$home/volumes/$i"
      cat <<Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: local-$i}
spec:
  storageClassName: standard
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $home/volumes/$i}
Y
    done
  } | kubectl apply -f - >/dev/null
}

# end_pods: kubelet is gone already, so that nothing starts them again.
end_pods() {
  local id pid folder
  if is_running containerd; then
    for id in $(timeout 10 ctr -a "$containerd_socket" -n k8s.io tasks ls -q); do
      timeout 10 ctr -a "$containerd_socket" -n k8s.io tasks rm -f "$id" >/dev/null 2>&1 || true
    done
    for id in $(timeout 10 ctr -a "$containerd_socket" -n k8s.io containers ls -q); do
      timeout 10 ctr -a "$containerd_socket" -n k8s.io containers rm "$id" >/dev/null 2>&1 || true
    done
  fi
  stop containerd
  # A shim outlives containerd when its pod does; it is ours when it was told our socket.
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if grep -qsz "^$containerd_socket" "$folder/cmdline" && [ "$(cat "$folder/comm" 2>/dev/null)" = containerd-shim ]; then
      kill -9 "$pid" 2>/dev/null || true
    fi
  done
  awk -v home="$home/" 'index($2, home) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
  ip netns list 2>/dev/null | awk '/^cni-/ { print $1 }' | while read -r id; do ip netns delete "$id" 2>/dev/null || true; done
  rm -rf "$run/containerd"
}
