{{- define "service-lib.egressdns" -}}
- to: {{- toYaml .Values.global.network.dns | nindent 4 }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{- define "service-lib.egressstore" -}}
- to: {{- toYaml .to | nindent 4 }}
  ports: [{port: {{ .port }}}]
{{- end }}

{{/*
Nothing in or out but what is named. Who may call whom is said once, in the caller's `calls`: it
opens the caller's way out here and labels its pods, and the label opens the way in on the other side.
*/}}
{{- define "service-lib.networkpolicy" -}}
{{- $network := .Values.global.network -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" .) | nindent 4 }}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: {{ .Chart.Name }}}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: [api, worker]}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if .Values.ingress.enabled }}
    - from: {{- toYaml $network.ingressController | nindent 8 }}
      ports: [{port: {{ .Values.api.protocol }}}]
    {{- else }}
    - from: [{podSelector: {matchLabels: {auditron/calls-{{ .Chart.Name }}: "yes"}}}]
      ports: [{port: {{ .Values.api.protocol }}}]
    {{- end }}
    - from: {{- toYaml $network.prometheus | nindent 8 }}
      ports: [{port: metrics}]
  egress:
    {{- include "service-lib.egressdns" . | nindent 4 }}
    {{- range .Values.calls }}
    - to:
        - podSelector: {matchLabels: {app.kubernetes.io/name: {{ . }}, app.kubernetes.io/component: api}}
      ports: [{port: 50051}]
    {{- end }}
    {{- range .Values.stores }}
    {{- include "service-lib.egressstore" (index $network .) | nindent 4 }}
    {{- end }}
    {{- if .Values.global.otlpEndpoint }}
    {{- include "service-lib.egressstore" $network.otlp | nindent 4 }}
    {{- end }}
    {{- if .Values.outbound.enabled }}
    - to:
        - ipBlock:
            cidr: 0.0.0.0/0
            except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
        - ipBlock: {cidr: "::/0", except: ["fc00::/7", "fe80::/10"]}
      ports:
        {{- range .Values.outbound.ports }}
        - {port: {{ . }}}
        {{- end }}
    {{- end }}
{{- end }}

{{/* The migration Job sees PostgreSQL and nothing else. In place before it starts. */}}
{{- define "service-lib.migrationpolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Chart.Name }}-migration
  labels: {{- include "service-lib.labels" (dict "root" . "role" "migration") | nindent 4 }}
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: "-1"
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  podSelector:
    matchLabels: {{- include "service-lib.selector" (dict "root" . "role" "migration") | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "service-lib.egressdns" . | nindent 4 }}
    {{- include "service-lib.egressstore" .Values.global.network.postgres | nindent 4 }}
{{- end }}
