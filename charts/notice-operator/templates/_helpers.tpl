{{- define "notice-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "notice-operator.fullname" -}}
{{- $name := include "notice-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "notice-operator.serviceAccountName" -}}
{{- default (include "notice-operator.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "notice-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "notice-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The chart's own labels win over commonLabels: selectors and upgrades depend on them. */}}
{{- define "notice-operator.labels" -}}
{{- $own := include "notice-operator.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/component" "operator" -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "notice" -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | toString) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* image, with what is empty from `image` of the values. Call with (list $ .Values.serverImage). */}}
{{- define "notice-operator.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $root.Values.image.registry $image.registry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}
{{- else }}:{{ default $root.Chart.AppVersion (default $root.Values.image.tag $image.tag) }}
{{- end -}}
{{- end -}}

{{/* What the operator does in each namespace that it watches. */}}
{{- define "notice-operator.rules" -}}
- apiGroups: [noticecluster.dev]
  resources: [noticeclusters]
  verbs: [list, watch]
- apiGroups: [noticecluster.dev]
  resources: [noticeclusters/status]
  verbs: [patch]
# Where owners are guarded (as in OpenShift), children can only be owned by those who may do this.
- apiGroups: [noticecluster.dev]
  resources: [noticeclusters/finalizers]
  verbs: [update]
# What every NoticeCluster has goes with it, by its owner, and a volume outlives it: the operator can
# remove neither.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services, serviceaccounts, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
# What can be turned off.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if eq .Values.secretAccess "namespaces" }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{- define "notice-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "notice-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* Another's API of metrics is not taken over: Helm refuses too, in words that help less. */}}
{{- define "notice-operator.checkMetricsApi" -}}
{{- range $version := list "v1beta1" "v1beta2" -}}
{{- $found := lookup "apiregistration.k8s.io/v1" "APIService" "" (printf "%s.custom.metrics.k8s.io" $version) -}}
{{- with $found -}}
{{- $service := .spec.service | default dict -}}
{{- if ne (dig "namespace" "" $service) $.Release.Namespace -}}
{{- fail (printf "\n\nmetricsApi.enabled: the APIService %s belongs to the service %s/%s. A cluster has one API of custom metrics: let that one serve notice_online_sessions (docs/KUBERNETES.md), or remove it first\n" .metadata.name (dig "namespace" "-" $service) (dig "name" "-" $service)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that the schema lets pass one by one, and that contradict each other. */}}
{{- define "notice-operator.check" -}}
{{- if and (eq .Values.secretAccess "namespaces") (not .Values.watchNamespaces) -}}
{{- fail "\n\nsecretAccess is \"namespaces\", and watchNamespaces names none: list the namespaces, or use \"byName\" or \"cluster\"\n" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "\n\nserviceAccount.create is false: set serviceAccount.name to the account that is there\n" -}}
{{- end -}}
{{- end -}}
