#!/usr/bin/env bash
# Writes down for Prometheus where servers and operators are, by the labels that people's own Prometheus
# finds them by, as soon as one comes or goes. scripts/cluster starts it as a part.
#
# discover.sh KUBECTL FOLDER
set -euo pipefail

kubectl=$1 folder=$2
of_notice=(--all-namespaces --selector 'app.kubernetes.io/name in (notice-server, notice-operator)')
# The ports that the images serve metrics at.
# shellcheck disable=SC2016 # the variable is the template's
template='{{range .items}}{{if and .status.podIP (eq .status.phase "Running")}}
{{- $name := index .metadata.labels "app.kubernetes.io/name"}}
- targets: ["{{.status.podIP}}:{{if eq $name "notice-server"}}9090{{else}}8080{{end}}"]
  labels:
    job: "{{index .metadata.labels "app.kubernetes.io/instance"}}-metrics"
    service: "{{index .metadata.labels "app.kubernetes.io/instance"}}-metrics"
    namespace: "{{.metadata.namespace}}"
    pod: "{{.metadata.name}}"
    node: "{{.spec.nodeName}}"
{{end}}{{end}}'

main() {
  mkdir -p "$folder"
  while :; do
    write_down || true
    # Each line is a pod that came, went, or changed; all of the last second count as one.
    "$kubectl" get pods "${of_notice[@]}" --watch-only --output name --request-timeout=300s |
      while read -r _; do
        while read -r -t 1 _; do :; done
        write_down || true
      done || sleep 1
  done
}

write_down() {
  "$kubectl" get pods "${of_notice[@]}" --output go-template="$template" >"$folder/.part"
  mv "$folder/.part" "$folder/notice.yml"
}

main
