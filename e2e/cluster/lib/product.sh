# shellcheck shell=bash
# The product in the cluster, as a person would install it: the operator, a NoticeCluster, and the way
# to the chat page. Only scripts/cluster sources this.
# shellcheck disable=SC2154 # scripts/cluster says where things are

install_product() { :; }
