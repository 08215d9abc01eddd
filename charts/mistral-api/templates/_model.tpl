{{- /* What is fetched: an address that `mistral-api fetch` takes; nothing where nothing is, or a Secret has the address. */ -}}
{{- define "mistral-api.address" -}}
{{- $model := .Values.model -}}
{{- if eq $model.source "huggingface" -}}
{{- if not (and $model.huggingface.repo $model.huggingface.file) }}{{ fail "model.huggingface needs repo and file" }}{{ end -}}
hf://{{ $model.huggingface.repo }}/{{ $model.huggingface.file }}@{{ $model.huggingface.revision | default "main" }}
{{- else if eq $model.source "url" -}}
{{- if not $model.url.addressSecret.name -}}
{{- required "model.source is url: model.url.address is missing" $model.url.address -}}
{{- end -}}
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
{{- if include "mistral-api.secretAddress" . -}}
{{- with $model.url }}/models/{{ printf "secret %s/%s %s" .addressSecret.name .addressSecret.key .sha256 | sha256sum | trunc 12 }}/model.gguf{{ end -}}
{{- else if $address -}}
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
{{- $live := include "mistral-api.liveClaim" . | fromYaml -}}
accessModes: [{{ ternary "ReadWriteOnce" .Values.storage.accessMode (eq .Values.storage.kind "ephemeral") }}]
{{- with dig "spec" "storageClassName" .Values.storage.storageClassName $live }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ include "mistral-api.storageSize" . }}
{{- end -}}

{{- /* The release's claim as it is in the cluster: most of it cannot be changed, and it never shrinks. Nothing where there is none, or
     no cluster, as for `helm template`. */ -}}
{{- define "mistral-api.liveClaim" -}}
{{- if and (include "mistral-api.fetched" .) (eq .Values.storage.kind "claim") -}}
{{- with lookup "v1" "PersistentVolumeClaim" .Release.Namespace (printf "%s-model" (include "mistral-api.fullname" .)) -}}
{{- toYaml (pick . "spec" "status") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mistral-api.storageSize" -}}
{{- $wanted := include "mistral-api.wantedSize" . -}}
{{- with include "mistral-api.liveClaim" . | fromYaml -}}
{{- $size := .spec.resources.requests.storage -}}
{{- if or (not $.Values.storage.size) (lt (include "mistral-api.bytes" $wanted | float64) (include "mistral-api.bytes" $size | float64)) }}{{ $wanted = $size }}{{ end -}}
{{- end -}}
{{- $wanted -}}
{{- end -}}

{{- define "mistral-api.wantedSize" -}}
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
{{- if or (include "mistral-api.address" .) (include "mistral-api.secretAddress" .) }}true{{ end -}}
{{- end -}}

{{- define "mistral-api.secretAddress" -}}
{{- if and (eq .Values.model.source "url") .Values.model.url.addressSecret.name }}true{{ end -}}
{{- end -}}

{{- /* How the volume may be had, where it is a claim that all pods share. */ -}}
{{- define "mistral-api.accessMode" -}}
{{- if eq .Values.model.source "existingClaim" -}}
{{ .Values.model.existingClaim.accessMode }}
{{- else if and (include "mistral-api.fetched" .) (eq .Values.storage.kind "claim") -}}
{{ .Values.storage.accessMode }}
{{- end -}}
{{- end -}}

{{- define "mistral-api.oneNode" -}}
{{- if and .Values.storage.oneNode (eq (include "mistral-api.accessMode" .) "ReadWriteOnce") }}true{{ end -}}
{{- end -}}

{{- /* Can only one pod have the volume? */ -}}
{{- define "mistral-api.singleVolume" -}}
{{- if and (hasPrefix "ReadWriteOnce" (include "mistral-api.accessMode" .)) (not (include "mistral-api.oneNode" .)) }}true{{ end -}}
{{- end -}}

{{- define "mistral-api.waysToShare" -}}
{{- if eq .Values.model.source "existingClaim" -}}
model.existingClaim.accessMode=ReadWriteMany or ReadOnlyMany where the claim is such a one, model.source=image
{{- else -}}
storage.kind=ephemeral or emptyDir (each pod has its own), storage.accessMode=ReadWriteMany, model.source=image
{{- end -}}
, or storage.oneNode=true (all pods on one node)
{{- end -}}
