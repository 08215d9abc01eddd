{{- /* Numbers that follow from others, and what cannot be. */ -}}

{{- define "mistral-api.graceSeconds" -}}
{{- /* 5 s to flush what is computed, 5 s to spare */ -}}
{{- add .Values.scaling.preStopSeconds .Values.scaling.drainSeconds 10 -}}
{{- end -}}

{{- define "mistral-api.deadlineSeconds" -}}
{{- add .Values.scaling.startupSeconds (ternary .Values.model.downloadSeconds 0 (eq (include "mistral-api.fetched" .) "true")) 120 -}}
{{- end -}}

{{- define "mistral-api.strategy" -}}
{{- if ne .Values.scaling.strategy "auto" -}}
{{ .Values.scaling.strategy }}
{{- else if or (include "mistral-api.singleVolume" .) (include "mistral-api.gpu" .) -}}
Recreate
{{- else -}}
RollingUpdate
{{- end -}}
{{- end -}}

{{- /* Bytes that cannot be given back: weights as the kernels lay them out (up to the file's size), cache, 512 MiB for the rest. */ -}}
{{- define "mistral-api.leastMemory" -}}
{{- if and .Values.model.sizeBytes .Values.server.ctxSize -}}
{{- addf .Values.model.sizeBytes (mulf .Values.server.ctxSize .Values.model.cacheBytesPerToken) 536870912 | int64 -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{- /* The same, and a quarter of the file that stays mapped, in whole MiB. */ -}}
{{- define "mistral-api.memory" -}}
{{- if ne (include "mistral-api.leastMemory" .) "0" -}}
{{- divf (addf (include "mistral-api.leastMemory" . | float64) (mulf 0.25 .Values.model.sizeBytes)) 1048576 | ceil | int64 }}Mi
{{- end -}}
{{- end -}}

{{- define "mistral-api.memorySum" -}}
{{- printf "model %d MiB + %d tokens of context at %.1f KiB = %d MiB + 512 MiB for the rest = %d MiB" (divf .Values.model.sizeBytes 1048576 | int64) (int64 .Values.server.ctxSize) (divf .Values.model.cacheBytesPerToken 1024) (divf (mulf .Values.server.ctxSize .Values.model.cacheBytesPerToken) 1048576 | int64) (divf (include "mistral-api.leastMemory" . | float64) 1048576 | ceil | int64) -}}
{{- end -}}

{{- define "mistral-api.resources" -}}
{{- $limits := deepCopy .Values.resources.limits -}}
{{- $requests := deepCopy .Values.resources.requests -}}
{{- $memory := include "mistral-api.memory" . -}}
{{- if not $limits.memory }}{{ $_ := set $limits "memory" ($requests.memory | default $memory) }}{{ end -}}
{{- if not $requests.memory }}{{ $_ := set $requests "memory" (include "mistral-api.scalar" $limits.memory) }}{{ end -}}
requests:
  {{- range $name, $amount := $requests }}
  {{- with include "mistral-api.scalar" $amount }}
  {{ $name }}: {{ . | quote }}
  {{- end }}
  {{- end }}
limits:
  {{- range $name, $amount := $limits }}
  {{- with include "mistral-api.scalar" $amount }}
  {{ $name }}: {{ . | quote }}
  {{- end }}
  {{- end }}
{{- end -}}

{{- define "mistral-api.check" -}}
{{- $replicas := include "mistral-api.replicas" . | int -}}
{{- $scaling := .Values.scaling -}}
{{- if and $scaling.autoscaling.enabled (not (kindIs "invalid" $scaling.replicas)) -}}
{{- fail "scaling.replicas and scaling.autoscaling.enabled contradict each other: leave out the first, or set autoscaling.minReplicas" -}}
{{- end -}}
{{- if and $scaling.autoscaling.enabled (gt (int $scaling.autoscaling.minReplicas) (int $scaling.autoscaling.maxReplicas)) -}}
{{- fail "scaling.autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and (gt $replicas 1) (include "mistral-api.singleVolume" .) -}}
{{- fail (printf "%d replicas cannot share a %s volume. Ways out: storage.kind=ephemeral or emptyDir (each pod has its own), storage.accessMode=ReadWriteMany, model.source=image, or storage.oneNode=true where all pods run on one node" $replicas .Values.storage.accessMode) -}}
{{- end -}}
{{- if and (eq $scaling.strategy "RollingUpdate") (include "mistral-api.singleVolume" .) -}}
{{- fail (printf "scaling.strategy=RollingUpdate needs two pods at once, and a %s volume has room for one. Ways out: strategy=auto, storage.kind=ephemeral or emptyDir, storage.accessMode=ReadWriteMany, model.source=image, or storage.oneNode=true" .Values.storage.accessMode) -}}
{{- end -}}
{{- $least := include "mistral-api.leastMemory" . -}}
{{- $limit := .Values.resources.limits.memory | default .Values.resources.requests.memory -}}
{{- if and (eq $least "0") (not $limit) -}}
{{- fail "how much memory? Give model.sizeBytes and server.ctxSize, or resources.limits.memory" -}}
{{- end -}}
{{- if and $limit (ne $least "0") (not .Values.allowTightMemory) -}}
{{- if lt (include "mistral-api.bytes" $limit | int64) (int64 $least) -}}
{{- fail (printf "a memory limit of %s is too small: %s. Ways out: leave the limit out (%s is taken), a smaller server.ctxSize, a smaller model, or allowTightMemory=true" (include "mistral-api.scalar" $limit) (include "mistral-api.memorySum" .) (include "mistral-api.memory" .)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.network.httpRoute.enabled (not .Values.network.httpRoute.parentRefs) -}}
{{- fail "network.httpRoute.parentRefs is empty: to which gateway does the route belong?" -}}
{{- end -}}
{{- end -}}
