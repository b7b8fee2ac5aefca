# shellcheck shell=bash
# What a cluster is made of, built once: containerd, CoreDNS and Traefik from the Go module proxy, the
# program of an empty pod, and Debian's packages. Only scripts/cluster sources this.
# shellcheck disable=SC2034,SC2154,SC2164 # names are shared with scripts/cluster, where -e is set

containerd_version=2.3.1
coredns_version=1.14.2
traefik_version=3.6.7

parts_built=(containerd coredns traefik pause prometheus)
# Tools of the nodes: none of them runs by itself.
debian_packages=(runc containernetworking-plugins iptables conntrack iproute2)

# build_parts [PART...]: all, or only some of what is built here.
build_parts() {
  local part
  if (($# == 0)); then
    set -- "${parts_built[@]}"
    binary=$("$root/scripts/kubernetes" build)
    "$root/scripts/services" install
    # Inside of the cluster's network nothing can be fetched.
    "$root/scripts/tool" helm >/dev/null
    install_debian_packages
  fi
  for part in "$@"; do
    [[ " ${parts_built[*]} " == *" $part "* ]] || fail "nothing here is called '$part': ${parts_built[*]}"
    once "$part" "$(home_of "$part")" "build_$part"
  done
}

# Named after all that it is made from.
home_of() {
  printf '%s\n' "$home/$1-$({
    declare -f "build_$1" go_program
    cat "$root/e2e/cluster/pause.c"
    printf '%s\n' "$containerd_version" "$coredns_version" "$traefik_version"
  } | short_sum)"
}

build_containerd() {
  go_program "$1" "github.com/containerd/containerd/v2@v$containerd_version" \
    "-X github.com/containerd/containerd/v2/version.Version=v$containerd_version" \
    cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr
}

build_coredns() {
  go_program "$1" "github.com/coredns/coredns@v$coredns_version" '' .
}

build_traefik() {
  go_program "$1" "github.com/traefik/traefik/v3@v$traefik_version" \
    "-X github.com/traefik/traefik/v3/pkg/version.Version=$traefik_version" cmd/traefik
}

# Unpacked only: the package would bring a service, and start it.
build_prometheus() {
  cd "$1"
  apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }
  dpkg-deb --extract prometheus_*.deb root
  mv root/usr/bin/prometheus root/usr/bin/promtool .
  rm -rf root prometheus_*.deb
}

build_pause() {
  cc -Os -static -s -o "$1/pause" "$root/e2e/cluster/pause.c"
}

# go_program FOLDER MODULE@VERSION STAMPS PACKAGE...: built as the main module, in a copy, so that
# the `replace` lines of its go.mod count.
go_program() {
  local folder=$1 module=$2 stamps=$3 go source
  shift 3
  go=$("$root/scripts/tool" go)
  source=$(cd / && GOFLAGS=-mod=mod "$go" mod download -json "$module" |
    sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  cp -r "$source" "$folder/source"
  chmod -R u+w "$folder/source"
  cd "$folder/source"
  CGO_ENABLED=0 GOFLAGS=-mod=mod "$go" build -trimpath -buildvcs=false \
    -tags no_btrfs,no_devmapper,no_zfs -ldflags "-s -w $stamps" -o "$folder/" "${@/#/./}"
  rm -rf "$folder/source"
}

# scripts/tool gets single tools; these are parts of the machine, and cluster's alone.
install_debian_packages() {
  local package missing=()
  for package in "${debian_packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  say "installing Debian's packages ${missing[*]}"
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
  "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null ||
    { "${quiet[@]}" update >&2 &&
      "${quiet[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null; } ||
    fail "Debian's packages ${missing[*]} could not be installed"
}
