# shellcheck shell=bash
# Sourced: where things are and how they are called.

home=${LONGSHORE_CLUSTER_CACHE:-${LONGSHORE_CACHE:-$HOME/.cache/longshore}/cluster}
bin=$home/bin   # programs
run=$home/run   # process ids and sockets
logs=$home/logs # look here first when something does not start
pki=$home/pki   # keys and tokens
export KUBECONFIG=$home/kubeconfig
# What is already on the machine is taken before anything is built: first ours, then the envtest folder, then the PATH.
export PATH=$bin${KUBEBUILDER_ASSETS:+:$KUBEBUILDER_ASSETS}:$PATH:/usr/sbin:/sbin

# Nothing listens on an address that another machine could reach.
node=longshore
node_bridge=longshore-node
node_ip=10.201.0.1
pod_bridge=longshore-pods
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
api=https://$node_ip:6443
etcd_url=http://127.0.0.1:12379

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
