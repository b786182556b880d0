# shellcheck shell=bash
# Sourced: who is who. Kubernetes' own parts and the user log in with tokens; only two calls need a client certificate.

ensure_secrets() {
  [ -f "$pki/complete" ] && return 0
  install -d -m 700 "$pki"
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=longshore-cluster \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  # kube-apiserver to the kubelet, and to aggregated APIs such as KEDA's metrics.
  client_certificate kubelet-client /O=system:masters/CN=kube-apiserver
  client_certificate front-proxy /CN=front-proxy
  openssl genrsa -out "$pki/service-account.key" 2048 2>/dev/null
  : >"$pki/tokens.csv"
  user admin system:masters "$KUBECONFIG"
  user coredns system:masters "$pki/coredns.kubeconfig"
  user "system:node:$node" system:nodes "$pki/kubelet.kubeconfig"
  local name
  for name in kube-controller-manager kube-scheduler kube-proxy; do
    user "system:$name" '' "$pki/$name.kubeconfig"
  done
  touch "$pki/complete"
}

# client_certificate NAME SUBJECT
client_certificate() {
  openssl req -x509 -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -newkey rsa:2048 -nodes -days 3650 -subj "$2" \
    -addext extendedKeyUsage=clientAuth -addext basicConstraints=critical,CA:FALSE \
    -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

# user NAME GROUP KUBECONFIG
user() {
  local token
  token=$(openssl rand -hex 24)
  printf '%s,%s,%s,"%s"\n' "$token" "$1" "$1" "$2" >>"$pki/tokens.csv"
  (
    umask 077
    cat >"$3" <<Y
apiVersion: v1
kind: Config
clusters: [{name: longshore, cluster: {server: "$api", certificate-authority: "$pki/apiserver.crt"}}]
users: [{name: "$1", user: {token: "$token"}}]
contexts: [{name: longshore, context: {cluster: longshore, user: "$1"}}]
current-context: longshore
Y
  )
}
