# shellcheck shell=bash
# The machines of a cluster, each a set of namespaces: `plane`, whose bridge joins them all, and the
# nodes. None has a way out to other networks; the host reaches them by one address. Only
# scripts/cluster sources this.
# shellcheck disable=SC2034,SC2154 # names are shared with scripts/cluster, where -e is set

bridge=notice0
host_link=notice-host

address_of_plane=$subnet.1
address_of_host=$subnet.254
address_of_node() { printf '%s.1%s\n' "$subnet" "$1"; }
pods_of_node() { printf '%s.%s.0/24\n' "$pods_prefix" "$1"; }

# --- going into one ---------------------------------------------------------------------------

# on_plane COMMAND...
on_plane() { nsenter --net --target "$(pid machine-plane)" -- "$@"; }

# on_node N COMMAND...
on_node() {
  local number=$1
  shift
  nsenter --net --mount --uts --target "$(pid "machine-$number")" -- "$@"
}

# --- making them ------------------------------------------------------------------------------

command_of_machine_plane() { command=(unshare --net sleep infinity); }
command_of_machine_1() { command_of_machine 1; }
command_of_machine_2() { command_of_machine 2; }
command_of_machine() {
  command=("${in_cgroup[@]}" "$(cgroup_of_node "$1")" unshare --net --mount --uts
    --propagation private "$root/e2e/cluster/lib/machine.sh" "node-$1" "$state/node-$1")
}

boot_plane() {
  runs machine-plane && return
  ! ip link show "$host_link" >/dev/null 2>&1 ||
    fail "this machine has an interface $host_link already: remove it with 'ip link del $host_link'"
  launch machine-plane
  soon machine-plane has_own_network machine-plane
  on_plane ip link set lo up
  on_plane ip link add "$bridge" type bridge
  on_plane ip address add "$address_of_plane/24" dev "$bridge"
  on_plane ip link set "$bridge" up
  ip link add "$host_link" type veth peer name host netns "$(pid machine-plane)"
  ip address add "$address_of_host/24" dev "$host_link"
  ip link set "$host_link" up
  on_plane ip link set host master "$bridge" up
}

boot_node() {
  local number=$1 other
  runs "machine-$number" && return
  clear_cgroups "$number"
  make_cgroups "$number"
  mkdir -p "$state/node-$number"/{lib,log}
  launch "machine-$number"
  soon "machine-$number" is_up "$number"
  on_plane ip link add "node-$number" type veth peer name eth0 netns "$(pid "machine-$number")"
  on_plane ip link set "node-$number" master "$bridge" up
  # The same after a restart, as a real card's: others in the network know it.
  on_node "$number" ip link set eth0 address "02:6e:6f:74:65:0$number"
  on_node "$number" ip link set lo up
  on_node "$number" ip address add "$(address_of_node "$number")/24" dev eth0
  on_node "$number" ip link set eth0 up
  for other in "${nodes[@]}"; do
    ((other == number)) ||
      on_node "$number" ip route add "$(pods_of_node "$other")" via "$(address_of_node "$other")"
  done
  on_plane ip route replace "$(pods_of_node "$number")" via "$(address_of_node "$number")"
  # Where there is no proxy for Services, the first node's stands in.
  ((number != nodes[0])) ||
    on_plane ip route replace "$services_range" via "$(address_of_node "$number")"
}

# By name: sockets that wait for an answer keep a network for minutes.
remove_link() { ip link del "$host_link" 2>/dev/null || true; }

has_own_network() {
  [[ $(readlink "/proc/$(pid "$1")/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

is_up() { on_node "$1" test -e /run/machine-is-up 2>/dev/null; }

# At once, as in a power cut: nobody in the network hears of it.
kill_node() {
  local number=$1
  on_plane ip link del "node-$number" 2>/dev/null || true
  kill_all_on "$number"
}

kill_all_on() {
  local deadline=$((SECONDS + patience)) processes
  until
    mapfile -t processes < <(processes_of_node "$1")
    ((${#processes[@]} == 0))
  do
    ((SECONDS <= deadline)) || fail "processes of node $1 do not end: ${processes[*]}"
    send KILL "${processes[@]}"
    sleep 0.05
  done
}

# --- control groups ---------------------------------------------------------------------------

# Everything that a node runs, containers included, is below this group in each hierarchy.
cgroup_of_node() { printf 'notice-node-%s\n' "$1"; }

cgroups=/sys/fs/cgroup

# The hierarchies: one in version 2; in version 1 one for each kind of resource, and often one of
# version 2 beside them that controls nothing.
hierarchies() {
  if [[ -f $cgroups/cgroup.controllers ]]; then
    printf '%s\n' "$cgroups"
  else
    find "$cgroups" -mindepth 1 -maxdepth 1 -type d -exec test -f '{}/cgroup.procs' \; -print
  fi
}

# The hierarchy that tells which processes a node has.
roll() { if [[ -f $cgroups/cgroup.controllers ]]; then echo "$cgroups"; else echo "$cgroups/pids"; fi; }

make_cgroups() {
  local hierarchy group
  while read -r hierarchy; do
    group=$hierarchy/$(cgroup_of_node "$1")
    if [[ -f $cgroups/cgroup.controllers ]]; then
      echo '+cpu +cpuset +memory +pids' >"$cgroups/cgroup.subtree_control"
      mkdir -p "$group"
      echo '+cpu +cpuset +memory +pids' >"$group/cgroup.subtree_control"
    else
      mkdir -p "$group"
      copy_cpuset "$hierarchy" "$group"
    fi
  done < <(hierarchies)
  # In version 2 only leaves hold processes.
  mkdir -p "$(roll)/$(cgroup_of_node "$1")/system"
}

# In version 1 a new group has no processors and no memory.
copy_cpuset() {
  local file
  for file in cpuset.cpus cpuset.mems; do
    [[ ! -f $1/$file ]] || cat "$1/$file" >"$2/$file"
  done
}

clear_cgroups() {
  local hierarchy
  while read -r hierarchy; do
    find "$hierarchy/$(cgroup_of_node "$1")" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(hierarchies)
}

processes_of_node() {
  find "$(roll)/$(cgroup_of_node "$1")" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# in_cgroup GROUP COMMAND...
# shellcheck disable=SC2016 # for the inner shell
in_cgroup=(sh -euc 'echo $$ >"$0/$1/system/cgroup.procs"
  shift
  exec "$@"' "$(roll)")
