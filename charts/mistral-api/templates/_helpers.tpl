{{- define "mistral-api.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "mistral-api.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mistral-api.labels" -}}
{{ include "mistral-api.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "mistral-api.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ include "mistral-api.scalar" $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "mistral-api.serviceAccount" -}}
{{- $account := .Values.security.serviceAccount -}}
{{- $account.name | default (ternary (include "mistral-api.fullname" .) "default" $account.create) -}}
{{- end -}}

{{- /* A value as a text: YAML's numbers are floats to Helm, and 1e+06 is no option's value. */ -}}
{{- define "mistral-api.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "bool" . -}}
{{- ternary "on" "off" . -}}
{{- else if not (kindIs "invalid" .) -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- /* Bytes of a quantity: 8Gi, 1.5G, 4368439584. */ -}}
{{- define "mistral-api.bytes" -}}
{{- $text := include "mistral-api.scalar" . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "P" 1000000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 -}}
{{- if not (hasKey $factors $unit) }}{{ fail (printf "%s is no amount of memory; write it like 8Gi" $text) }}{{ end -}}
{{- mulf (float64 $number) (get $factors $unit) | int64 -}}
{{- end -}}

{{- define "mistral-api.replicas" -}}
{{- if .Values.scaling.autoscaling.enabled -}}
{{- .Values.scaling.autoscaling.maxReplicas | int -}}
{{- else if kindIs "invalid" .Values.scaling.replicas -}}
1
{{- else -}}
{{- .Values.scaling.replicas | int -}}
{{- end -}}
{{- end -}}

{{- define "mistral-api.gpu" -}}
{{- range $name, $count := .Values.resources.limits -}}
{{- if and (contains "/" $name) (regexMatch "gpu|mig|neuron|npu" $name) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- /* The user's, and that pods which share a ReadWriteOnce volume follow each other. */ -}}
{{- define "mistral-api.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- if include "mistral-api.oneNode" . -}}
{{- $term := dict "labelSelector" (dict "matchLabels" (include "mistral-api.selector" . | fromYaml)) "topologyKey" "kubernetes.io/hostname" -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $key := "requiredDuringSchedulingIgnoredDuringExecution" -}}
{{- $_ := set $pods $key (append (get $pods $key | default list) $term) -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- with $affinity }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "mistral-api.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: {{ .Values.security.readOnlyRootFilesystem }}
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "mistral-api.scrapeAuthorization" -}}
{{- with .Values.monitoring.authorizationSecret -}}
{{- if .name -}}
authorization:
  credentials:
    name: {{ .name }}
    key: {{ .key }}
{{- end -}}
{{- end -}}
{{- end -}}
