{{- /* server.* as variables; files/server-options.json is made from the service's own list of options. */ -}}
{{- define "mistral-api.settings" -}}
{{- $variables := .Files.Get "files/server-options.json" | fromJson -}}
MISTRAL_API_DRAIN_DELAY: "0"
MISTRAL_API_DRAIN_TIMEOUT: {{ .Values.scaling.drainSeconds | int | quote }}
{{- range $name, $value := .Values.server }}
{{- if not (hasKey $variables $name) }}{{ fail (printf "server.%s is no option of the server; docs/options.md lists them" $name) }}{{ end }}
{{- if not (kindIs "invalid" $value) }}
{{ get $variables $name }}: {{ include "mistral-api.scalar" $value | quote }}
{{- end }}
{{- end }}
{{- if .Values.security.apiKeySecret.name }}
LLAMA_ARG_API_KEY_FILE: /etc/mistral-api/keys/{{ .Values.security.apiKeySecret.key }}
{{- end }}
{{- end -}}

{{- /* The container's own variables, by name, so that one of extraEnv replaces ours and no name stands twice. */ -}}
{{- define "mistral-api.env" -}}
{{- $cpu := dict "name" "MISTRAL_API_CPU_LIMIT" "valueFrom" (dict "resourceFieldRef" (dict "containerName" "mistral-api" "resource" "limits.cpu" "divisor" "1m")) -}}
{{- /* Not in the ConfigMap: an old pod that restarts during an upgrade would look for the new model, which it has not fetched. */ -}}
{{- $own := list (dict "name" "LLAMA_ARG_MODEL" "value" (include "mistral-api.path" .)) -}}
{{- if kindIs "invalid" .Values.server.cpuLimit }}{{ $own = prepend $own $cpu }}{{ end -}}
{{- $taken := dict -}}
{{- range .Values.extraEnv }}{{ $_ := set $taken .name true }}{{ end -}}
{{- $all := list -}}
{{- range $own }}{{ if not (hasKey $taken .name) }}{{ $all = append $all . }}{{ end }}{{ end -}}
{{- toYaml (concat $all .Values.extraEnv) -}}
{{- end -}}

{{- define "mistral-api.fetchEnv" -}}
{{- $model := .Values.model -}}
{{- $all := list -}}
{{- $own := dict -}}
{{- if eq $model.source "huggingface" -}}
{{- with $model.huggingface.endpoint }}{{ $_ := set $own "HF_ENDPOINT" (dict "value" .) }}{{ end -}}
{{- with $model.huggingface.tokenSecret }}{{ if .name }}{{ $_ := set $own "HF_TOKEN" (dict "valueFrom" (dict "secretKeyRef" (dict "name" .name "key" .key))) }}{{ end }}{{ end -}}
{{- else if eq $model.source "url" -}}
{{- with $model.url.addressSecret }}{{ if .name }}{{ $_ := set $own "MISTRAL_API_FETCH_SOURCE" (dict "valueFrom" (dict "secretKeyRef" (dict "name" .name "key" .key))) }}{{ end }}{{ end -}}
{{- else if eq $model.source "s3" -}}
{{- with $model.s3.region }}{{ $_ := set $own "AWS_REGION" (dict "value" .) }}{{ end -}}
{{- with $model.s3.endpoint }}{{ $_ := set $own "AWS_ENDPOINT_URL_S3" (dict "value" .) }}{{ end -}}
{{- end -}}
{{- range $model.env }}{{ $_ := unset $own .name }}{{ end -}}
{{- range $name, $entry := $own }}{{ $all = append $all (merge (dict "name" $name) $entry) }}{{ end -}}
{{- toYaml (concat $all $model.env) -}}
{{- end -}}
