# shellcheck shell=bash
# The parts of a cluster: how each is started, and when it answers. Only scripts/cluster sources this.
# shellcheck disable=SC2034,SC2154 # names are shared with scripts/cluster, where -e is set

plane_parts=(etcd kube-apiserver kube-controller-manager kube-scheduler coredns)
edge_parts=(traefik discovery prometheus)
node_parts=(containerd kubelet kube-proxy)

port_of_machine_plane=0 port_of_machine_1=0 port_of_machine_2=0
port_of_etcd=2379 port_of_kube_apiserver=6443 port_of_kube_controller_manager=10257
port_of_kube_scheduler=10259 port_of_coredns=53 port_of_traefik=80 port_of_prometheus=9090 port_of_discovery=0
port_of_containerd_1=0 port_of_containerd_2=0
port_of_kubelet_1=10250 port_of_kubelet_2=10250
port_of_kube_proxy_1=10256 port_of_kube_proxy_2=10256

# start_part PART: unless it runs; back when it answers.
start_part() {
  runs "$1" || launch "$1"
  soon "$1" "answers_${1//-/_}"
}

start_control_plane() {
  local part
  for part in "${plane_parts[@]}"; do
    say "starting $part"
    start_part "$part"
    # The rights that CoreDNS and others have are given where people give them: in the API.
    [[ $part != kube-apiserver ]] || soon kube-apiserver give_rights
  done
  soon kube-controller-manager has_default_account
}

start_node() {
  say "starting node-$1"
  boot_node "$1"
  write_node_files "$1"
  start_part "containerd-$1"
  load_pause "$1"
  start_part "kubelet-$1"
  start_part "kube-proxy-$1"
  soon "kubelet-$1" is_ready_node "$1"
}

give_rights() { as_admin apply --server-side -f "$root/e2e/cluster/manifests/rights.yaml" >/dev/null 2>&1; }

has_default_account() { as_admin -n default get serviceaccount default >/dev/null 2>&1; }

is_ready_node() {
  [[ $(as_admin get node "node-$1" -o \
    'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

as_admin() { timeout 60 "$binary" kubectl --kubeconfig "$state/admin.kubeconfig" "$@"; }

# --- the control plane ------------------------------------------------------------------------

# plane_command COMMAND...: to be run on the plane; sets `command`.
plane_command() { command=(nsenter --net --target "$(pid machine-plane)" -- "$@"); }

plane_listens() { on_plane bash -c ": </dev/tcp/$1/$2" 2>/dev/null; }

# Nothing here must outlive a power cut, so etcd need not wait for the disk.
command_of_etcd() {
  plane_command "$binary" etcd --name plane --data-dir "$state/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster plane=http://127.0.0.1:2380 --log-level warn
}
answers_etcd() { plane_listens 127.0.0.1 2379; }

command_of_kube_apiserver() {
  local own=$state/certificates
  local flags=(
    --etcd-servers http://127.0.0.1:2379
    --bind-address "$address_of_plane" --advertise-address "$address_of_plane" --secure-port 6443
    --service-cluster-ip-range "$services_range"
    --authorization-mode "Node,RBAC" --enable-admission-plugins NodeRestriction --allow-privileged
    --client-ca-file "$own/ca.crt"
    --tls-cert-file "$own/kube-apiserver.crt" --tls-private-key-file "$own/kube-apiserver.key"
    --kubelet-client-certificate "$own/admin.crt" --kubelet-client-key "$own/admin.key"
    --kubelet-preferred-address-types InternalIP
    --service-account-issuer https://kubernetes.default.svc
    --service-account-key-file "$own/service-accounts.pub"
    --service-account-signing-key-file "$own/service-accounts.key"
    --requestheader-client-ca-file "$own/front-proxy-ca.crt"
    --requestheader-allowed-names front-proxy
    --requestheader-username-headers X-Remote-User
    --requestheader-group-headers X-Remote-Group
    --requestheader-extra-headers-prefix X-Remote-Extra-
    --proxy-client-cert-file "$own/front-proxy.crt" --proxy-client-key-file "$own/front-proxy.key"
    # There is no proxy for Services on the plane: aggregated APIs are asked at their pods.
    --enable-aggregator-routing
    --audit-policy-file "$root/e2e/kubernetes/audit-policy.yaml"
    --audit-log-path "$state/audit.log" --audit-log-maxsize 4000)
  plane_command "$binary" kube-apiserver "${flags[@]}"
}
answers_kube_apiserver() { [[ $(as_admin get --raw /readyz 2>&1) == ok ]]; }

command_of_kube_controller_manager() {
  local own=$state/certificates config=$state/kube-controller-manager.kubeconfig
  plane_command "$binary" kube-controller-manager \
    --kubeconfig "$config" --authentication-kubeconfig "$config" \
    --authorization-kubeconfig "$config" --bind-address 127.0.0.1 \
    --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file "$own/service-accounts.key" \
    --root-ca-file "$own/ca.crt" \
    --cluster-signing-cert-file "$own/ca.crt" --cluster-signing-key-file "$own/ca.key" \
    --horizontal-pod-autoscaler-sync-period 5s
}
answers_kube_controller_manager() { plane_listens 127.0.0.1 10257; }

command_of_kube_scheduler() {
  local config=$state/kube-scheduler.kubeconfig
  plane_command "$binary" kube-scheduler --kubeconfig "$config" \
    --authentication-kubeconfig "$config" --authorization-kubeconfig "$config" \
    --bind-address 127.0.0.1 --leader-elect=false
}
answers_kube_scheduler() { plane_listens 127.0.0.1 10259; }

# --- beside it --------------------------------------------------------------------------------

command_of_coredns() {
  plane_command "$(home_of coredns)/coredns" -conf "$state/Corefile"
}
answers_coredns() { plane_listens "$address_of_plane" 53; }

# Outside of the nodes, as a load balancer is: what becomes of a node is not its end. The timeouts are
# those that the operator's event asks an administrator for.
command_of_traefik() {
  local transport=--entrypoints.web.transport
  plane_command env KUBECONFIG="$state/traefik.kubeconfig" "$(home_of traefik)/traefik" \
    "--entrypoints.web.address=$address_of_plane:80" \
    "--entrypoints.traefik.address=127.0.0.1:8080" --ping --metrics.prometheus \
    "$transport.respondingtimeouts.readtimeout=0" "$transport.respondingtimeouts.idletimeout=7200s" \
    --serverstransport.forwardingtimeouts.dialtimeout=10s --providers.kubernetesingress \
    "--providers.kubernetesingress.ingressendpoint.ip=$address_of_plane" \
    --log.level=INFO --global.checknewversion=false --global.sendanonymoususage=false
}
answers_traefik() { plane_listens "$address_of_plane" 80; }

command_of_discovery() {
  plane_command env KUBECONFIG="$state/prometheus.kubeconfig" \
    "$root/e2e/cluster/lib/discover.sh" "$(dirname "$binary")/kubectl" "$state/targets"
}
answers_discovery() { [[ -e $state/targets/notice.yml ]]; }

command_of_prometheus() {
  plane_command "$(home_of prometheus)/prometheus" --config.file "$state/prometheus.yaml" \
    --storage.tsdb.path "$state/prometheus" --web.listen-address "$address_of_plane:9090" \
    --web.enable-lifecycle
}
answers_prometheus() { plane_listens "$address_of_plane" 9090; }

# --- the nodes --------------------------------------------------------------------------------

for number in 1 2; do
  eval "command_of_containerd_$number() { command_of_containerd $number; }
    answers_containerd_$number() { answers_containerd $number; }
    command_of_kubelet_$number() { command_of_kubelet $number; }
    answers_kubelet_$number() { answers_kubelet $number; }
    command_of_kube_proxy_$number() { command_of_kube_proxy $number; }
    answers_kube_proxy_$number() { answers_kube_proxy $number; }"
done

# node_command N COMMAND...: to be run on that node, in its control group; sets `command`.
node_command() {
  local number=$1
  shift
  command=("${in_cgroup[@]}" "$(cgroup_of_node "$number")"
    nsenter --net --mount --uts --target "$(pid "machine-$number")" --
    env "PATH=$(home_of containerd):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@")
}

command_of_containerd() {
  node_command "$1" "$(home_of containerd)/containerd" --config "$state/node-$1/containerd.toml"
}
answers_containerd() { ctr_on "$1" version >/dev/null 2>&1; }
ctr_on() {
  local number=$1
  shift
  on_node "$number" "$(home_of containerd)/ctr" -n k8s.io "$@"
}

command_of_kubelet() {
  node_command "$1" "$binary" kubelet --config "$state/node-$1/kubelet.yaml" \
    --kubeconfig "$state/node-$1.kubeconfig" --hostname-override "node-$1" \
    --node-ip "$(address_of_node "$1")"
}
answers_kubelet() { plane_listens "$(address_of_node "$1")" 10250; }

command_of_kube_proxy() {
  node_command "$1" "$binary" kube-proxy --kubeconfig "$state/kube-proxy.kubeconfig" \
    --hostname-override "node-$1" --proxy-mode iptables --cluster-cidr "$pods_prefix.0.0/16" \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
    --conntrack-tcp-timeout-close-wait 0
}
answers_kube_proxy() { plane_listens "$(address_of_node "$1")" 10256; }
