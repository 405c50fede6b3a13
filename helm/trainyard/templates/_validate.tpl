{{/* What the schema cannot say: values that need one another. Each refusal names the value. */}}

{{/* One of a URL and its Secret: (list $values "store" "redis://HOST"). */}}
{{- define "trainyard.needsUrl" -}}
{{- $part := index . 0 -}}
{{- $name := index . 1 -}}
{{- if and $part.url $part.urlSecret.name -}}
{{- fail (printf "%s.url and %s.urlSecret.name are both set: leave out one of them" $name $name) -}}
{{- else if not (or $part.url $part.urlSecret.name) -}}
{{- fail (printf "%s.url is not set: in mode 'cluster' name it, such as %s, or a Secret in %s.urlSecret" $name (index . 2) $name) -}}
{{- end -}}
{{- end -}}

{{/* Time to end: (list "api" has needs "why"). */}}
{{- define "trainyard.needsTime" -}}
{{- if lt (int (index . 1)) (int (index . 2)) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds must be at least %d, not %d: %s" (index . 0) (int (index . 2)) (int (index . 1)) (index . 3)) -}}
{{- end -}}
{{- end -}}

{{/* A server whose port the network policy opens: (list $ "objects" "objects.s3.endpoint" url). A URL in a Secret cannot be looked at. */}}
{{- define "trainyard.needsPort" -}}
{{- $policy := (index . 0).Values.networkPolicy -}}
{{- $url := index . 3 -}}
{{- if and $policy.enabled $url -}}
{{- $ports := dict "redis" 6379 "rediss" 6379 "amqp" 5672 "amqps" 5671 "http" 80 "https" 443 -}}
{{- $default := get $ports (regexFind "^[a-z]+" $url) -}}
{{- $named := regexFind ":[0-9]+$" (regexReplaceAll "^[a-z]+://([^/]*).*$" $url "${1}") | trimPrefix ":" -}}
{{- $port := int (default $default $named) -}}
{{- $opened := list -}}
{{- range (index $policy (index . 1)).ports -}}{{- $opened = append $opened (int .) -}}{{- end -}}
{{- if not (has $port $opened) -}}
{{- fail (printf "%s uses port %d, which networkPolicy.%s.ports does not open" (index . 2) $port (index . 1)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "trainyard.validate" -}}
{{- $values := .Values -}}
{{- include "trainyard.needsPort" (list $ "objects" "objects.s3.endpoint" $values.objects.s3.endpoint) -}}
{{- include "trainyard.needsPort" (list $ "oidc" "oidc.jwksUrl" $values.oidc.jwksUrl) -}}
{{- include "trainyard.needsPort" (list $ "traces" "traces.endpoint" $values.traces.endpoint) -}}
{{- if $values.oidc.issuer -}}
{{- if not $values.oidc.audience -}}
{{- fail "oidc.audience is not set: tokens of an issuer need one" -}}
{{- end -}}
{{- if eq (empty $values.oidc.jwksUrl) (empty $values.oidc.jwksConfigMap.name) -}}
{{- fail "oidc.issuer needs one of oidc.jwksUrl and oidc.jwksConfigMap.name" -}}
{{- end -}}
{{- end -}}
{{- if and (or $values.metrics.serviceMonitor.enabled $values.metrics.rules.enabled) (not $values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor and metrics.rules need metrics.enabled" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty: an Ingress without a host answers for every name" -}}
{{- end -}}
{{- if $values.test.enabled -}}
{{- if not (and $values.test.apiKeySecret.name $values.test.model) -}}
{{- fail "test.enabled needs test.apiKeySecret.name and test.model" -}}
{{- end -}}
{{- end -}}
{{- if eq $values.mode "embedded" -}}
{{- include "trainyard.needsTime" (list "embedded" $values.embedded.terminationGracePeriodSeconds 30 "the server ends within 28 seconds") -}}
{{- else -}}
{{- include "trainyard.validateCluster" . -}}
{{- end -}}
{{- end -}}

{{- define "trainyard.validateCluster" -}}
{{- $values := .Values -}}
{{- include "trainyard.needsUrl" (list $values.store "store" "redis://redis:6379") -}}
{{- include "trainyard.needsUrl" (list $values.queue "queue" "amqp://trainyard@rabbitmq/%2f") -}}
{{- include "trainyard.needsPort" (list $ "store" "store.url" $values.store.url) -}}
{{- include "trainyard.needsPort" (list $ "queue" "queue.url" $values.queue.url) -}}
{{- if not $values.objects.url -}}
{{- fail "objects.url is not set: in mode 'cluster' name a bucket, such as s3://training/prod" -}}
{{- end -}}
{{- if not $values.models.volume -}}
{{- fail "models.volume is not set: api and executors need the base models, such as {persistentVolumeClaim: {claimName: models, readOnly: true}}" -}}
{{- end -}}
{{- if not $values.executorToken.existingSecret.name -}}
{{- fail "executorToken.existingSecret.name is not set: name a Secret with what executors show, such as one of `kubectl create secret generic trainyard-executor-token --from-literal=token=$(openssl rand -hex 32)`" -}}
{{- end -}}
{{- $api := $values.api -}}
{{- include "trainyard.needsTime" (list "api" $api.terminationGracePeriodSeconds (add $api.preStopSleepSeconds 15) "preStopSleepSeconds and 15 seconds for requests under way") -}}
{{- if and $api.autoscaling.enabled (gt (int $api.autoscaling.minReplicas) (int $api.autoscaling.maxReplicas)) -}}
{{- fail (printf "api.autoscaling.minReplicas (%d) is above maxReplicas (%d)" (int $api.autoscaling.minReplicas) (int $api.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- include "trainyard.needsTime" (list "scheduler" $values.scheduler.terminationGracePeriodSeconds 30 "webhooks under way take up to 28 seconds") -}}
{{- range $key, $_ := $values.executors.pools -}}
{{- $pool := include "trainyard.pool" (list $ $key) | fromYaml -}}
{{- $at := printf "executors.pools.%s" $key -}}
{{- include "trainyard.needsTime" (list $at $pool.terminationGracePeriodSeconds 30 "an executor lets its runs save a checkpoint and ends within 25 seconds") -}}
{{- if $pool.keda.enabled -}}
{{- if not (and $values.metrics.enabled $pool.keda.serverAddress) -}}
{{- fail (printf "%s.keda.enabled needs metrics.enabled and %s.keda.serverAddress, such as http://prometheus-operated.monitoring:9090" $at $at) -}}
{{- end -}}
{{- if gt (int $pool.keda.minReplicas) (int $pool.keda.maxReplicas) -}}
{{- fail (printf "%s.keda.minReplicas (%d) is above maxReplicas (%d)" $at (int $pool.keda.minReplicas) (int $pool.keda.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
