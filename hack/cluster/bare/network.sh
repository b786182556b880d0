# shellcheck shell=bash
# Sourced: two bridges, one for the node's address and one for the pods. Nothing of it leaves the machine.

kernel_settings=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.bridge.bridge-nf-call-iptables)
# Pods have no way out; refused is found out sooner than lost.
no_way_out=(FORWARD -s "$pod_cidr" ! -d "$pod_cidr" -j REJECT)

raise_network() {
  modprobe br_netfilter 2>/dev/null || true
  [ -f "$run/sysctl" ] || sysctl "${kernel_settings[@]}" >"$run/sysctl"
  sysctl -qw "${kernel_settings[@]/%/=1}"
  ip link show "$node_bridge" >/dev/null 2>&1 || ip link add "$node_bridge" type bridge
  ip address replace "$node_ip/24" dev "$node_bridge"
  ip link set "$node_bridge" up
  # Without a route of its own a service's address would need a default route, which not every machine has.
  ip route replace "$service_cidr" dev "$node_bridge"
  iptables -C "${no_way_out[@]}" 2>/dev/null || iptables -I "${no_way_out[@]}"
  mkdir -p "$home/cni"
  cat >"$home/cni/pods.conflist" <<J
{"cniVersion": "1.0.0", "name": "longshore", "plugins": [
  {"type": "bridge", "bridge": "$pod_bridge", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/addresses", "ranges": [[{"subnet": "$pod_cidr"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}
J
}

lower_network() {
  ip link delete "$pod_bridge" 2>/dev/null || true
  ip link delete "$node_bridge" 2>/dev/null || true
  rm -rf "$run/addresses"
  command -v iptables >/dev/null || return 0
  iptables -D "${no_way_out[@]}" 2>/dev/null || true
  # kubelet and kube-proxy leave their rules behind; `up` made sure that no other node is on this machine.
  local tables
  tables=$(iptables-save)
  if grep -q KUBE- <<<"$tables"; then grep -v KUBE- <<<"$tables" | iptables-restore; fi
  if [ -f "$run/sysctl" ]; then sysctl -q -e -p "$run/sysctl" >/dev/null || true; fi
  rm -f "$run/sysctl"
}

# refuse_a_second_node: another kubelet would have the same ports and iptables chains as ours.
refuse_a_second_node() {
  is_running kubelet && return 0
  if (exec 3<>"/dev/tcp/127.0.0.1/10248") 2>/dev/null; then
    die "a kubelet runs on this machine already (port 10248); stop it, or use that cluster by CONTEXT=..."
  fi
}
