{{/* A pool's values: its entry over `executors.defaults`. (list $ "large") gives YAML. */}}
{{- define "trainyard.pool" -}}
{{- $executors := (index . 0).Values.executors -}}
{{- $key := index . 1 -}}
{{- $pool := mergeOverwrite (deepCopy $executors.defaults) (deepCopy (default dict (index $executors.pools $key))) -}}
{{- $_ := set $pool "pool" (default $key $pool.pool) -}}
{{- $_ := set $pool "key" $key -}}
{{- toYaml $pool -}}
{{- end -}}

{{/*
Jobs of a pool that want an executor or have one: (list $ "large"). Each scheduler counts all jobs, so the most of each state counts; a pool
that never had a job is zero only while a scheduler is scraped, which the outbox tells.
*/}}
{{- define "trainyard.kedaQuery" -}}
{{- $root := index . 0 -}}
{{- $at := printf "namespace=%q,job=%q" $root.Release.Namespace (include "trainyard.partname" (list $root "metrics")) -}}
{{- printf "sum(max by (state) (trainyard_jobs{%s,pool=%q,state=~\"queued|dispatched|running\"})) or 0 * max(trainyard_outbox_entries{%s})" $at (index . 1) $at -}}
{{- end -}}
