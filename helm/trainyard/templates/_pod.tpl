{{/* What every pod has in common. */}}

{{/* Metadata of a pod: (list $ part selector), with the part's values and the labels that select it. */}}
{{- define "trainyard.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
labels:
  {{- index . 2 | nindent 2 }}
  {{- with $root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $part.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where and as whom a pod runs: (list $ part selector account). */}}
{{- define "trainyard.podSpec" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $selector := index . 2 -}}
serviceAccountName: {{ index . 3 }}
automountServiceAccountToken: false
# Variables of services begin with their names: TRAINYARD_... would be read as settings.
enableServiceLinks: false
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $part.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $labels := dict "labelSelector" (dict "matchLabels" (fromYaml $selector)) }}
  {{- list (merge (dict) . $labels) | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Security, image and variables from elsewhere of a container: (list $ part image). */}}
{{- define "trainyard.container" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $image := index . 2 -}}
image: {{ include "trainyard.image" (list $root $image) }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- with $root.Values.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Requests and limits with GPUs, which are requested by their limit: a part. */}}
{{- define "trainyard.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpus) 0 -}}
{{- $limits := merge (dict .gpuResource (int .gpus)) (default dict $resources.limits) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Probes over HTTP. Alive is what answers; ready is what reaches its record, and that alone. */}}
{{- define "trainyard.apiProbes" -}}
startupProbe:
  httpGet: {path: /healthz/live, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz/live, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /healthz/ready, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* Probes of parts that answer no requests: the metrics' listener asks nobody. Without metrics a part that fails ends by itself. */}}
{{- define "trainyard.metricsProbes" -}}
{{- if .Values.metrics.enabled -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
{{- end -}}

{{/* The metrics' port of a container. */}}
{{- define "trainyard.metricsPort" -}}
{{- if .Values.metrics.enabled }}
- {name: metrics, containerPort: {{ .Values.metrics.port }}, protocol: TCP}
{{- end }}
{{- end -}}
