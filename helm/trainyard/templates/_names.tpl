{{/* Names, labels and images. */}}

{{- define "trainyard.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a part: (list $ "scheduler"). One that would be too long for a label is cut and told apart by a hash. */}}
{{- define "trainyard.partname" -}}
{{- $root := index . 0 -}}
{{- $whole := printf "%s-%s" (include "trainyard.fullname" $root) (index . 1) -}}
{{- if gt (len $whole) 52 -}}
{{- printf "%s-%s" (trunc 43 $whole | trimSuffix "-") (sha256sum $whole | trunc 8) -}}
{{- else -}}
{{- $whole -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the release's pods. */}}
{{- define "trainyard.release" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels that select the pods of a part: (list $ "api"), of a pool (list $ "executor" "large"). */}}
{{- define "trainyard.selector" -}}
{{- $root := index . 0 -}}
{{ include "trainyard.release" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
trainyard/pool: {{ index . 2 }}
{{- end }}
{{- end -}}

{{/* Labels of an object: (list $ "api"), without a part (list $). */}}
{{- define "trainyard.labels" -}}
{{- $root := index . 0 -}}
{{- if gt (len .) 1 -}}
{{ include "trainyard.selector" . }}
{{- else -}}
{{ include "trainyard.release" $root }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image: (list $ $.Values.image.server). */}}
{{- define "trainyard.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := $image.repository -}}
{{- with $root.Values.global.imageRegistry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Name of a service account: (list $ "api" $.Values.api). */}}
{{- define "trainyard.serviceAccountName" -}}
{{- $account := (index . 2).serviceAccount -}}
{{- if $account.create -}}
{{- default (include "trainyard.partname" (list (index . 0) (index . 1))) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}
