#!/bin/sh
# What a node's machine is while it runs: its own network, mounts and host name. Its disk outlives it;
# /run does not, as on any machine. scripts/cluster starts this in namespaces of its own.
#
# machine.sh NAME DISK
set -eu
name=$1 disk=$2

echo "$name" >/proc/sys/kernel/hostname
mkdir -p "$disk/lib/kubelet" "$disk/lib/volumes/1" "$disk/lib/volumes/2" "$disk/log/pods"
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$disk/log" /var/log
mount --bind "$disk/lib" /var/lib
# Traffic between pods of a node passes its bridge, and Services must work there too.
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
: >/run/machine-is-up
exec sleep infinity
