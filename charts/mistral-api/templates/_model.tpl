{{- /* What is fetched: an address that `mistral-api fetch` takes, or nothing. */ -}}
{{- define "mistral-api.address" -}}
{{- $model := .Values.model -}}
{{- if eq $model.source "huggingface" -}}
{{- if not (and $model.huggingface.repo $model.huggingface.file) }}{{ fail "model.huggingface needs repo and file" }}{{ end -}}
hf://{{ $model.huggingface.repo }}/{{ $model.huggingface.file }}@{{ $model.huggingface.revision | default "main" }}
{{- else if eq $model.source "url" -}}
{{- required "model.source is url: model.url.address is missing" $model.url.address -}}
{{- else if eq $model.source "s3" -}}
{{- required "model.source is s3: model.s3.address is missing" $model.s3.address -}}
{{- end -}}
{{- end -}}

{{- define "mistral-api.sha256" -}}
{{- (get .Values.model .Values.model.source).sha256 -}}
{{- end -}}

{{- /* Where the file is in the container. The folder is made of the address, so another source never finds an old file. */ -}}
{{- define "mistral-api.path" -}}
{{- $model := .Values.model -}}
{{- $address := include "mistral-api.address" . -}}
{{- if $address -}}
{{- $name := ternary $model.huggingface.file (regexReplaceAll "[?#].*$" $address "") (eq $model.source "huggingface") | base -}}
/models/{{ sha256sum $address | trunc 12 }}/{{ $name }}
{{- else if eq $model.source "builtin" -}}
{{ $model.builtin.path }}
{{- else -}}
/models/{{ (get $model $model.source).path }}
{{- end -}}
{{- end -}}

{{- define "mistral-api.volume" -}}
{{- $model := .Values.model -}}
{{- $storage := .Values.storage -}}
{{- if eq $model.source "image" -}}
{{- if semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version }}{{ fail (printf "model.source image needs Kubernetes 1.33, this is %s; take model.source url or existingClaim" .Capabilities.KubeVersion.Version) }}{{ end -}}
image:
  reference: {{ required "model.source is image: model.image.reference is missing" $model.image.reference | quote }}
  {{- with $model.image.pullPolicy }}
  pullPolicy: {{ . }}
  {{- end }}
{{- else if eq $model.source "existingClaim" -}}
persistentVolumeClaim:
  claimName: {{ required "model.source is existingClaim: model.existingClaim.name is missing" $model.existingClaim.name }}
  readOnly: true
{{- else if eq $model.source "hostPath" -}}
hostPath:
  path: {{ required "model.source is hostPath: model.hostPath.folder is missing" $model.hostPath.folder }}
  type: Directory
{{- else if eq $storage.kind "claim" -}}
persistentVolumeClaim:
  claimName: {{ include "mistral-api.fullname" . }}-model
{{- else if eq $storage.kind "ephemeral" -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      {{- include "mistral-api.claimSpec" . | nindent 6 }}
{{- else -}}
emptyDir:
  sizeLimit: {{ include "mistral-api.storageSize" . }}
{{- end -}}
{{- end -}}

{{- define "mistral-api.claimSpec" -}}
accessModes: [{{ ternary "ReadWriteOnce" .Values.storage.accessMode (eq .Values.storage.kind "ephemeral") }}]
{{- with .Values.storage.storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ include "mistral-api.storageSize" . }}
{{- end -}}

{{- define "mistral-api.storageSize" -}}
{{- if .Values.storage.size -}}
{{ .Values.storage.size }}
{{- else if not .Values.model.sizeBytes -}}
{{- fail "how large is the volume? Give model.sizeBytes, or storage.size" -}}
{{- else -}}
{{- $copies := ternary 2 1 (eq .Values.storage.kind "claim") -}}
{{- add 1024 (divf (mulf $copies .Values.model.sizeBytes) 1048576 | ceil | int64) }}Mi
{{- end -}}
{{- end -}}

{{- define "mistral-api.fetched" -}}
{{- if include "mistral-api.address" . }}true{{ end -}}
{{- end -}}

{{- /* Can only one pod have the volume? */ -}}
{{- define "mistral-api.singleVolume" -}}
{{- $storage := .Values.storage -}}
{{- if and (include "mistral-api.fetched" .) (eq $storage.kind "claim") (ne $storage.accessMode "ReadWriteMany") (not (and $storage.oneNode (eq $storage.accessMode "ReadWriteOnce"))) }}true{{ end -}}
{{- end -}}
