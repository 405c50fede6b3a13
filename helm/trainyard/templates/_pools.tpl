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
Jobs of a pool that want an executor or have one: (list $ "large"). Each scheduler counts all jobs, so the most of each state counts. A pool
that had no executor since the schedulers began has no series of its own: its jobs are among those of "_other". One such job calls for one
executor, which makes the pool known; from then on its own count holds. Without a scheduler there is no answer, and nothing is changed.
*/}}
{{- define "trainyard.kedaQuery" -}}
{{- $root := index . 0 -}}
{{- $at := printf "namespace=%q,job=%q" $root.Release.Namespace (include "trainyard.partname" (list $root "metrics")) -}}
{{- $own := printf "sum(max by (state) (trainyard_jobs{%s,pool=%q,state=~\"queued|dispatched|running\"}))" $at (index . 1) -}}
{{- printf "%s or clamp_max(sum(max by (state) (trainyard_jobs{%s,pool=\"_other\",state=\"queued\"})), 1)" $own $at -}}
{{- end -}}
