# shellcheck shell=bash
# Sourced: KEDA as pods, from its own manifests.

install_keda() {
  local folder
  ensure_keda
  program_image "localhost/keda:$KEDA_VERSION" "$(type -P keda)"
  program_image "localhost/keda-metrics-apiserver:$KEDA_VERSION" "$(type -P keda-adapter)"
  keda_is_ready && return 0
  folder=$(module_folder github.com/kedacore/keda/v2 "$KEDA_VERSION")
  kubectl kustomize "$folder/config/minimal" |
    sed -E "s#ghcr.io/kedacore/(keda[a-z-]*):.*#localhost/\\1:$KEDA_VERSION#
      s/imagePullPolicy: Always/imagePullPolicy: Never/
      s/initialDelaySeconds: 2[05]/initialDelaySeconds: 1/" |
    kubectl apply --server-side --force-conflicts -f - >/dev/null
  kubectl -n keda rollout status deployment/keda-operator --timeout=120s >/dev/null
  kubectl -n keda rollout status deployment/keda-metrics-apiserver --timeout=120s >/dev/null
  wait_for 60 kube-apiserver keda_is_ready
}

keda_is_ready() { kubectl get --raw /apis/external.metrics.k8s.io/v1beta1 >/dev/null 2>&1; }
