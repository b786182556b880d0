# shellcheck shell=bash
# Sourced: the same cluster as kind makes it, of containers, with a registry on localhost:5001 for Tilt.

kind_name=longshore
registry=longshore-registry

ensure_kind() { ensure_module kind sigs.k8s.io/kind "$KIND_VERSION" sigs.k8s.io/kind; }
ensure_kubectl() { type -P kubectl >/dev/null || ensure_kubernetes; }
ensure_helm() { ensure_module helm helm.sh/helm/v3 "$HELM_VERSION" helm.sh/helm/v3/cmd/helm; }

kind_up() {
  ensure_kind
  ensure_kubectl
  ensure_helm
  if ! kind get clusters 2>/dev/null | grep -qx "$kind_name"; then
    kind create cluster --config "$sources/../../kind-config.yaml" --kubeconfig "$KUBECONFIG" --wait 120s
  fi
  start_registry
  helm upgrade --install keda keda --repo https://kedacore.github.io/charts --version "${KEDA_VERSION#v}" \
    --namespace keda --create-namespace --wait --timeout 5m >/dev/null
}

# start_registry: the nodes find it by the name that is localhost:5001 outside, and Tilt by the ConfigMap (KEP-1755).
start_registry() {
  local node folder=/etc/containerd/certs.d/localhost:5001
  docker inspect "$registry" >/dev/null 2>&1 ||
    docker run -d --restart=always -p 127.0.0.1:5001:5000 --network kind --name "$registry" registry:2 >/dev/null
  for node in $(kind get nodes --name "$kind_name"); do
    docker exec "$node" mkdir -p "$folder"
    echo "[host.\"http://$registry:5000\"]" | docker exec -i "$node" cp /dev/stdin "$folder/hosts.toml"
  done
  kubectl apply -f - >/dev/null <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: local-registry-hosting, namespace: kube-public}
data: {localRegistryHosting.v1: 'host: "localhost:5001"'}
Y
}

kind_down() {
  kind delete cluster --name "$kind_name" --kubeconfig "$KUBECONFIG"
  docker rm -f "$registry" >/dev/null 2>&1 || true
}

kind_forget() { rm -f "$KUBECONFIG"; }

kind_load() {
  local file
  for file in "$@"; do kind load image-archive --name "$kind_name" "$file"; done
}

kind_crash() { docker exec "$kind_name-control-plane" pkill -9 -x "$1"; }

kind_is_up() { docker ps --quiet --filter "label=io.x-k8s.kind.cluster=$kind_name" | grep -q .; }

kind_status() { docker ps --filter "label=io.x-k8s.kind.cluster=$kind_name"; }
