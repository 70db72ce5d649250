{{/* Of the pod; takes the user that the image runs as. */}}
{{- define "platform.podsecurity" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "platform.containersecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Takes the chart's scope and what the password is for. */}}
{{- define "platform.password" -}}
{{- $seed := (index . 0).Values.seed }}
{{- if lt (len $seed) 16 }}{{ fail "seed is required: at least 16 characters" }}{{ end }}
{{- printf "%s/%s" $seed (index . 1) | sha256sum | trunc 32 }}
{{- end }}
