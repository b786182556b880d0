# shellcheck shell=bash
# Sourced: etcd, kube-apiserver, controller manager and scheduler.

start_etcd() {
  # Data of tests and demos: a power cut may take it, a slow disk must not slow it.
  # shellcheck disable=SC2086 # flags are words
  start etcd --data-dir "$home/etcd" --listen-client-urls $etcd_url --advertise-client-urls $etcd_url \
    --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
    --initial-cluster default=http://127.0.0.1:12380 --log-level error \
    ${LONGSHORE_ETCD_FLAGS:---unsafe-no-fsync}
  wait_for 30 etcd curl -sf $etcd_url/health
}

start_apiserver() {
  # It makes its own certificate for $node_ip and the service's address under --cert-dir.
  # shellcheck disable=SC2086 # flags are words
  start kube-apiserver --etcd-servers=$etcd_url --bind-address=$node_ip --advertise-address=$node_ip \
    --secure-port=6443 --cert-dir="$pki" --token-auth-file="$pki/tokens.csv" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged \
    --service-cluster-ip-range=$service_cidr \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/service-account.key" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
    ${LONGSHORE_APISERVER_FLAGS:-}
  wait_for 60 kube-apiserver kubectl get --raw /readyz
}

start_controllers() {
  # shellcheck disable=SC2086 # flags are words
  start kube-controller-manager --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --service-account-private-key-file="$pki/service-account.key" --root-ca-file="$pki/apiserver.crt" \
    --use-service-account-credentials --leader-elect=false --bind-address=127.0.0.1 \
    ${LONGSHORE_CONTROLLER_MANAGER_FLAGS:-}
  start kube-scheduler --kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
}
