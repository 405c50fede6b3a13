{{/* How values become the binary's settings: variables TRAINYARD_<NAME>, and files of Secrets in one volume. */}}

{{/* A scalar as the binary reads it: whole numbers without an exponent. */}}
{{- define "trainyard.scalar" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* Pieces of a list, one below the other, without those that are empty. */}}
{{- define "trainyard.join" -}}
{{- $pieces := list -}}
{{- range . -}}
{{- with trim . -}}{{- $pieces = append $pieces . -}}{{- end -}}
{{- end -}}
{{- join "\n" $pieces -}}
{{- end -}}

{{/* Variables of groups of settings by their own names: (list $ "http" "log"). */}}
{{- define "trainyard.settings" -}}
{{- $settings := (first .).Values.settings -}}
{{- range $group := rest . }}
{{- range $name, $value := index $settings $group }}
{{- if not (kindIs "invalid" $value) }}
- name: TRAINYARD_{{ upper $name }}
  value: {{ include "trainyard.scalar" $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A variable, where its value is not empty: (list "TRAINYARD_X" value). */}}
{{- define "trainyard.variable" -}}
{{- $value := include "trainyard.scalar" (index . 1) -}}
{{- if ne $value "" }}
- name: {{ index . 0 }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* A variable that a Secret holds: (list "TRAINYARD_X" "secret" "key"). */}}
{{- define "trainyard.secretVariable" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{- define "trainyard.credentialFolder" -}}/run/trainyard/credentials{{- end -}}

{{/* Variables of elsewhere, whole: a part's extraEnv. */}}
{{- define "trainyard.extraEnv" -}}
{{- with .extraEnv }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Which Secret holds the S3 keys of a part: (list $ "executor"). */}}
{{- define "trainyard.s3Secret" -}}
{{- $s3 := (index . 0).Values.objects.s3 -}}
{{- if and (eq (index . 1) "executor") $s3.executorCredentialsSecret.name -}}
{{- toYaml $s3.executorCredentialsSecret -}}
{{- else -}}
{{- toYaml $s3.credentialsSecret -}}
{{- end -}}
{{- end -}}

{{/* Variables of the record: (list $ "api"). */}}
{{- define "trainyard.storeEnv" -}}
{{- $store := (index . 0).Values.store -}}
{{- $folder := include "trainyard.credentialFolder" . -}}
{{- if $store.urlSecret.name }}
{{ include "trainyard.secretVariable" (list "TRAINYARD_STORE" $store.urlSecret.name $store.urlSecret.key) }}
{{- else }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE" $store.url) }}
{{- end }}
{{- if $store.passwordSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE_PASSWORD_FILE" (printf "%s/store-password" $folder)) }}
{{- end }}
{{- if $store.caSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE_CA_FILE" (printf "%s/store-ca.pem" $folder)) }}
{{- end }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE_NAMESPACE" $store.namespace) }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE_REPLICAS" $store.replicas) }}
{{- include "trainyard.variable" (list "TRAINYARD_STORE_ALLOW_VOLATILE" $store.allowVolatile) }}
{{- end -}}

{{/* Variables of the queue: (list $ "api"). */}}
{{- define "trainyard.queueEnv" -}}
{{- $queue := (index . 0).Values.queue -}}
{{- if $queue.urlSecret.name }}
{{ include "trainyard.secretVariable" (list "TRAINYARD_QUEUE" $queue.urlSecret.name $queue.urlSecret.key) }}
{{- else }}
{{- include "trainyard.variable" (list "TRAINYARD_QUEUE" $queue.url) }}
{{- end }}
{{- if $queue.passwordSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_QUEUE_PASSWORD_FILE" (printf "%s/queue-password" (include "trainyard.credentialFolder" .))) }}
{{- end }}
{{- end -}}

{{/* Variables of the objects: (list $ "api"). */}}
{{- define "trainyard.objectsEnv" -}}
{{- $objects := (index . 0).Values.objects -}}
{{- $s3 := $objects.s3 -}}
{{- $keys := include "trainyard.s3Secret" . | fromYaml -}}
{{- $folder := include "trainyard.credentialFolder" . -}}
{{- include "trainyard.variable" (list "TRAINYARD_OBJECTS" $objects.url) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_ENDPOINT" $s3.endpoint) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_PUBLIC_ENDPOINT" $s3.publicEndpoint) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_REGION" $s3.region) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_PATH_STYLE" $s3.pathStyle) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_SSE_KMS_KEY_ID" $s3.sseKmsKeyId) }}
{{- if $keys.name }}
{{ include "trainyard.secretVariable" (list "TRAINYARD_S3_ACCESS_KEY_ID" $keys.name $keys.accessKeyIdKey) }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_SECRET_ACCESS_KEY_FILE" (printf "%s/s3-secret-access-key" $folder)) }}
{{- end }}
{{- if $s3.caSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_S3_CA_FILE" (printf "%s/s3-ca.pem" $folder)) }}
{{- end }}
{{- end -}}

{{/* Variables of bearer tokens: (list $). */}}
{{- define "trainyard.oidcEnv" -}}
{{- $oidc := (index . 0).Values.oidc -}}
{{- if $oidc.issuer }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_ISSUER" $oidc.issuer) }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_AUDIENCE" $oidc.audience) }}
{{- if $oidc.jwksConfigMap.name }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_JWKS_FILE" (printf "%s/jwks.json" (include "trainyard.credentialFolder" .))) }}
{{- else }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_JWKS_URL" $oidc.jwksUrl) }}
{{- end }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_TENANT_CLAIM" $oidc.tenantClaim) }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_SCOPES_CLAIM" $oidc.scopesClaim) }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_ALGORITHMS" $oidc.algorithms) }}
{{- include "trainyard.variable" (list "TRAINYARD_OIDC_ADMIN" $oidc.admin) }}
{{- end }}
{{- end -}}

{{/* Variables of the metrics' listener, which every part has. */}}
{{- define "trainyard.metricsEnv" -}}
{{- if .Values.metrics.enabled }}
{{- include "trainyard.variable" (list "TRAINYARD_METRICS_LISTEN" (printf "%s:%d" .Values.listenAddress (int .Values.metrics.port))) }}
{{- end }}
{{- end -}}

{{/* Variables of traces, which every part has: (list $). */}}
{{- define "trainyard.tracesEnv" -}}
{{- $traces := (index . 0).Values.traces -}}
{{- $folder := include "trainyard.credentialFolder" . -}}
{{- if $traces.endpoint }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_ENDPOINT" $traces.endpoint) }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_SAMPLER" $traces.sampler) }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_SAMPLER_ARG" $traces.samplerArg) }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_RESOURCE_ATTRIBUTES" $traces.resourceAttributes) }}
{{- if $traces.headersSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_HEADERS_FILE" (printf "%s/traces-headers" $folder)) }}
{{- end }}
{{- if $traces.caSecret.name }}
{{- include "trainyard.variable" (list "TRAINYARD_TRACES_CA_FILE" (printf "%s/traces-ca.pem" $folder)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One file of the credentials' volume: (list "secret" "name" "key" "path"); nothing without a name. */}}
{{- define "trainyard.source" -}}
{{- if index . 1 }}
- {{ index . 0 }}:
    name: {{ index . 1 }}
    items:
      - {key: {{ index . 2 }}, path: {{ index . 3 }}}
{{- end }}
{{- end -}}

{{/* Files of the credentials' volume of a part: (list $ "api"). */}}
{{- define "trainyard.sources" -}}
{{- $values := (index . 0).Values -}}
{{- $part := index . 1 -}}
{{- $s3 := $values.objects.s3 -}}
{{- $keys := include "trainyard.s3Secret" . | fromYaml -}}
{{- if has $part (list "api" "scheduler") }}
{{- include "trainyard.source" (list "secret" $values.store.passwordSecret.name $values.store.passwordSecret.key "store-password") }}
{{- include "trainyard.source" (list "secret" $values.store.caSecret.name $values.store.caSecret.key "store-ca.pem") }}
{{- end }}
{{- if ne $part "embedded" }}
{{- include "trainyard.source" (list "secret" $values.queue.passwordSecret.name $values.queue.passwordSecret.key "queue-password") }}
{{- end }}
{{- include "trainyard.source" (list "secret" $keys.name $keys.secretAccessKeyKey "s3-secret-access-key") }}
{{- include "trainyard.source" (list "secret" $s3.caSecret.name $s3.caSecret.key "s3-ca.pem") }}
{{- if $values.traces.endpoint }}
{{- include "trainyard.source" (list "secret" $values.traces.headersSecret.name $values.traces.headersSecret.key "traces-headers") }}
{{- include "trainyard.source" (list "secret" $values.traces.caSecret.name $values.traces.caSecret.key "traces-ca.pem") }}
{{- end }}
{{- if has $part (list "api" "executor") }}
{{- include "trainyard.source" (list "secret" $values.executorToken.existingSecret.name $values.executorToken.existingSecret.key "executor-token") }}
{{- end }}
{{- if and (has $part (list "api" "embedded")) $values.oidc.issuer }}
{{- include "trainyard.source" (list "configMap" $values.oidc.jwksConfigMap.name $values.oidc.jwksConfigMap.key "jwks.json") }}
{{- end }}
{{- if eq $part "executor" }}
{{- include "trainyard.source" (list "secret" $values.executors.controlPlaneCaSecret.name $values.executors.controlPlaneCaSecret.key "control-plane-ca.pem") }}
{{- end }}
{{- end -}}

{{/* The volume of them: (list $ "api"). */}}
{{- define "trainyard.credentialVolume" -}}
{{- with include "trainyard.sources" . | trim }}
- name: credentials
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Its mount: (list $ "api"). */}}
{{- define "trainyard.credentialMount" -}}
{{- if include "trainyard.sources" . | trim }}
- {name: credentials, mountPath: {{ include "trainyard.credentialFolder" . }}, readOnly: true}
{{- end }}
{{- end -}}
