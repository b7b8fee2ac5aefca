{{- define "notice-cluster.name" -}}
{{- default .Release.Name .Values.nameOverride -}}
{{- end -}}

{{- define "notice-cluster.labels" -}}
{{- $own := dict "app.kubernetes.io/instance" (include "notice-cluster.name" .) "app.kubernetes.io/part-of" "notice" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{/* The spec, with what the parts for trials add. */}}
{{- define "notice-cluster.spec" -}}
{{- $spec := deepCopy .Values.spec -}}
{{- $name := include "notice-cluster.name" . -}}
{{- if .Values.trial.redis.enabled -}}
{{- if $spec.redis -}}
{{- fail "\n\nspec.redis and trial.redis.enabled are both set: the trial's Redis would not be used. Remove one\n" -}}
{{- end -}}
{{- $_ := set $spec "redis" (dict "uriSecretRef" (dict "name" (printf "%s-redis" $name) "key" "uri")) -}}
{{- end -}}
{{- if .Values.trial.apiKeys.enabled -}}
{{- $auth := default (dict) $spec.auth -}}
{{- if $auth.apiKeysSecretRef -}}
{{- fail "\n\nspec.auth.apiKeysSecretRef and trial.apiKeys.enabled are both set: remove one\n" -}}
{{- end -}}
{{- $_ := set $auth "apiKeysSecretRef" (dict "name" (printf "%s-api-keys" $name) "key" "keys") -}}
{{- $_ := set $spec "auth" $auth -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* The names of the Secrets that a spec refers to: of everything called ...SecretRef in it. */}}
{{- define "notice-cluster.secrets" -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- if regexMatch "(?i)secretRef$" $key }}{{ $value.name }}{{ "\n" }}
{{- else }}{{ include "notice-cluster.secrets" $value }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a Secret holds now under a key, or a new password. Call with (list $ SECRET KEY). */}}
{{- define "notice-cluster.kept" -}}
{{- $root := index . 0 -}}
{{- $found := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- $kept := index (default (dict) (default (dict) $found).data) (index . 2) -}}
{{- if $kept }}{{ b64dec $kept }}{{ else }}{{ randAlphaNum 40 }}{{ end -}}
{{- end -}}

{{- define "notice-cluster.redisLabels" -}}
app.kubernetes.io/name: redis
app.kubernetes.io/instance: {{ include "notice-cluster.name" . }}
app.kubernetes.io/component: trial-redis
{{- end -}}

{{- define "notice-cluster.redisImage" -}}
{{- with .Values.trial.redis.image -}}
{{- if .registry }}{{ trimSuffix "/" .registry }}/{{ end }}{{ .repository -}}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end -}}
{{- end -}}
{{- end -}}
