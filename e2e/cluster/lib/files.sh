# shellcheck shell=bash
# The files that the parts of a cluster read. Only scripts/cluster sources this.
# shellcheck disable=SC2034,SC2154 # names are shared with scripts/cluster, where -e is set

people=(admin kube-controller-manager kube-scheduler kube-proxy coredns traefik prometheus)

make_state() {
  rm -rf --one-file-system "$state.part"
  (umask 077 && mkdir -p "$state.part/certificates")
  (umask 077 && cd "$state.part" && make_certificates >certificates/log 2>&1) ||
    { cat "$state.part/certificates/log" >&2; fail "openssl could not make the certificates"; }
  (umask 077 && cd "$state.part" && make_kubeconfigs)
  (cd "$state.part" && write_plane_files)
  printf 'binary=%q subnet=%q\n' "$binary" "$subnet" >"$state.part/cluster.env"
  mv "$state.part" "$state"
}

# Two roots, as upstream wants it: the second is for the API server when it passes requests on to
# aggregated API servers, so that nobody else can speak in others' names.
make_certificates() {
  local name number
  authority ca notice-cluster
  authority front-proxy-ca notice-front-proxy
  certificate ca kube-apiserver /CN=kube-apiserver serverAuth \
    "IP:127.0.0.1,IP:$address_of_plane,IP:$services_first,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  for name in "${people[@]}"; do
    certificate ca "$name" "$(subject_of "$name")" clientAuth
  done
  for number in "${nodes[@]}"; do
    certificate ca "node-$number" "/O=system:nodes/CN=system:node:node-$number" clientAuth
  done
  certificate front-proxy-ca front-proxy /CN=front-proxy clientAuth
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 \
    -out certificates/service-accounts.key
  openssl pkey -in certificates/service-accounts.key -pubout -out certificates/service-accounts.pub
}

subject_of() {
  case $1 in
    admin) echo /O=system:masters/CN=admin ;;
    kube-*) echo "/CN=system:$1" ;;
    *) echo "/CN=notice-lab:$1" ;;
  esac
}

make_kubeconfigs() {
  local name
  for name in "${people[@]}" "${nodes[@]/#/node-}"; do
    kubeconfig "$name" "https://$address_of_plane:6443" notice-lab >"$name.kubeconfig"
  done
}

write_plane_files() {
  printf 'nameserver %s\n' "$services_dns" >resolv.conf
  cat >Corefile <<TEXT
.:53 {
  bind $address_of_plane
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $state/coredns.kubeconfig
    endpoint_pod_names
  }
  cache 5
}
TEXT
  sed "s#@STATE@#$state#g" "$root/e2e/cluster/prometheus.yaml" >prometheus.yaml
}

# write_node_files N
write_node_files() {
  local folder=$state/node-$1
  mkdir -p "$folder/cni"
  printf 'nameserver %s\n' "$address_of_plane" >"$folder/resolv.conf"
  write_cni "$1" >"$folder/cni/10-pods.conflist"
  write_containerd "$1" >"$folder/containerd.toml"
  write_kubelet "$1" >"$folder/kubelet.yaml"
}

write_cni() {
  cat <<TEXT
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$(pods_of_node "$1")"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
TEXT
}

write_containerd() {
  cat <<TEXT
version = 3
root = '/var/lib/containerd'
state = '/run/containerd'

[grpc]
address = '/run/containerd/containerd.sock'

[plugins.'io.containerd.internal.v1.opt']
path = '/var/lib/containerd/opt'

[plugins.'io.containerd.nri.v1.nri']
disable = true

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '$pause_image'

[plugins.'io.containerd.cri.v1.runtime']
# Where the whole system may not go below 0, pods may not either.
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
conf_dir = '$state/node-$1/cni'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = 'runc'
SystemdCgroup = false
TEXT
}

# A disk that others fill is no reason here to end pods.
write_kubelet() {
  cat <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(address_of_node "$1")
healthzPort: 10248
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$(cgroup_of_node "$1")
failCgroupV1: false
failSwapOn: false
resolvConf: $state/node-$1/resolv.conf
clusterDomain: cluster.local
clusterDNS: [$services_dns]
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $state/certificates/ca.crt}
authorization: {mode: Webhook}
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: "0%"
  nodefs.available: "0%"
  nodefs.inodesFree: "0%"
  imagefs.available: "0%"
  imagefs.inodesFree: "0%"
TEXT
}
