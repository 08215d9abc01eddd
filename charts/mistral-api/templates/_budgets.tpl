{{- /* Numbers that follow from others, and what cannot be. */ -}}

{{- define "mistral-api.graceSeconds" -}}
{{- /* 5 s to flush what is computed, 5 s to spare */ -}}
{{- add .Values.scaling.preStopSeconds .Values.scaling.drainSeconds 10 -}}
{{- end -}}

{{- define "mistral-api.deadlineSeconds" -}}
{{- /* with Recreate the old pod ends first */ -}}
{{- $end := ternary (include "mistral-api.graceSeconds" . | int) 0 (eq (include "mistral-api.strategy" .) "Recreate") -}}
{{- add .Values.scaling.startupSeconds (ternary .Values.model.downloadSeconds 0 (eq (include "mistral-api.fetched" .) "true")) $end 120 -}}
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

{{- /* Bytes that cannot be given back: weights as the kernels lay them out (up to the file's size), cache, what --cache-ram may
     keep (where it is not given, the server takes a part of what is free), 512 MiB for the rest. */ -}}
{{- define "mistral-api.leastMemory" -}}
{{- if and .Values.model.sizeBytes .Values.server.ctxSize -}}
{{- addf .Values.model.sizeBytes (mulf .Values.server.ctxSize .Values.model.cacheBytesPerToken) (include "mistral-api.keptMemory" . | float64) 536870912 | int64 -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{- define "mistral-api.keptMemory" -}}
{{- mulf (max 0 (.Values.server.cacheRam | default 0 | int64)) 1048576 | int64 -}}
{{- end -}}

{{- /* The same, and a quarter of the file that stays mapped, in whole MiB. */ -}}
{{- define "mistral-api.memory" -}}
{{- if ne (include "mistral-api.leastMemory" .) "0" -}}
{{- divf (addf (include "mistral-api.leastMemory" . | float64) (mulf 0.25 .Values.model.sizeBytes)) 1048576 | ceil | int64 }}Mi
{{- end -}}
{{- end -}}

{{- define "mistral-api.memorySum" -}}
{{- printf "model %d MiB + %d tokens of context at %.1f KiB = %d MiB + %d MiB of cacheRam + 512 MiB for the rest = %d MiB" (divf .Values.model.sizeBytes 1048576 | int64) (int64 .Values.server.ctxSize) (divf .Values.model.cacheBytesPerToken 1024) (divf (mulf .Values.server.ctxSize .Values.model.cacheBytesPerToken) 1048576 | int64) (divf (include "mistral-api.keptMemory" . | float64) 1048576 | int64) (divf (include "mistral-api.leastMemory" . | float64) 1048576 | ceil | int64) -}}
{{- end -}}

{{- define "mistral-api.resources" -}}
{{- $limits := deepCopy .Values.resources.limits -}}
{{- $requests := deepCopy .Values.resources.requests -}}
{{- $memory := include "mistral-api.memory" . -}}
{{- if not $limits.memory }}{{ $_ := set $limits "memory" ($requests.memory | default $memory) }}{{ end -}}
{{- if not $requests.memory }}{{ $_ := set $requests "memory" (include "mistral-api.scalar" $limits.memory) }}{{ end -}}
{{- /* Without it a pod is put on a node whose disk has no room for the model, and others are evicted. */ -}}
{{- if and (eq .Values.storage.kind "emptyDir") (include "mistral-api.fetched" .) (not (hasKey $requests "ephemeral-storage")) -}}
{{- $_ := set $requests "ephemeral-storage" (include "mistral-api.storageSize" .) -}}
{{- end -}}
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

{{- /* The server's CPUs, which wait for it meanwhile. So a pod whose limits equal its requests is of the class Guaranteed. */ -}}
{{- define "mistral-api.fetchResources" -}}
{{- $resources := .Values.resources -}}
requests:
  cpu: {{ include "mistral-api.scalar" ($resources.requests.cpu | default $resources.limits.cpu | default "100m") | quote }}
  memory: 512Mi
limits:
  {{- with $resources.limits.cpu }}
  cpu: {{ include "mistral-api.scalar" . | quote }}
  {{- end }}
  memory: 512Mi
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
{{- fail (printf "%d replicas cannot share a %s volume. Ways out: %s" $replicas (include "mistral-api.accessMode" .) (include "mistral-api.waysToShare" .)) -}}
{{- end -}}
{{- if and (eq $scaling.strategy "RollingUpdate") (include "mistral-api.singleVolume" .) -}}
{{- fail (printf "scaling.strategy=RollingUpdate needs two pods at once, and a %s volume has room for one. Ways out: scaling.strategy=auto, %s" (include "mistral-api.accessMode" .) (include "mistral-api.waysToShare" .)) -}}
{{- end -}}
{{- include "mistral-api.checkAddress" . -}}
{{- include "mistral-api.checkClaim" . -}}
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

{{- define "mistral-api.checkAddress" -}}
{{- with .Values.model.url -}}
{{- if and .address .addressSecret.name }}{{ fail "model.url.address and model.url.addressSecret contradict each other: leave out one" }}{{ end -}}
{{- if regexMatch "(?i)([?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)=|^\\w+://[^/?#]*@)" .address -}}
{{- fail "model.url.address holds a password or a signature, and everybody can read it there: put it into a Secret that model.url.addressSecret names" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What the API server would refuse of a claim that is there, in words that help. */ -}}
{{- define "mistral-api.checkClaim" -}}
{{- $storage := .Values.storage -}}
{{- with include "mistral-api.liveClaim" . | fromYaml -}}
{{- $name := printf "%s-model" (include "mistral-api.fullname" $) -}}
{{- $remove := printf "scale to 0 and `kubectl -n %s delete pvc %s` (the model is downloaded again)" $.Release.Namespace $name -}}
{{- if not (has $storage.accessMode .spec.accessModes) -}}
{{- fail (printf "the claim %s is %s, and that cannot be changed. Ways out: storage.accessMode=%s, or %s" $name (join ", " .spec.accessModes) (first .spec.accessModes) $remove) -}}
{{- end -}}
{{- if and $storage.storageClassName (ne $storage.storageClassName (.spec.storageClassName | default "")) -}}
{{- fail (printf "the claim %s is of the storage class %s, and that cannot be changed. Ways out: leave storage.storageClassName out, or %s" $name (.spec.storageClassName | default "-") $remove) -}}
{{- end -}}
{{- $asked := include "mistral-api.storageSize" $ -}}
{{- $held := dig "status" "capacity" "storage" $asked . -}}
{{- $room := max (include "mistral-api.bytes" $asked | int64) (include "mistral-api.bytes" $held | int64) -}}
{{- if lt $room (add $.Values.model.sizeBytes 16777216) -}}
{{- fail (printf "the claim %s has %s, too little for a model of %d MiB. Ways out: storage.size=%s where its storage class can expand volumes, or %s" $name $held (divf $.Values.model.sizeBytes 1048576 | int64) (include "mistral-api.wantedSize" $) $remove) -}}
{{- end -}}
{{- end -}}
{{- end -}}
