{{/* A rule of outgoing traffic: ports, and peers where there are some. */}}
{{- define "trainyard.opening" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
