{{/* Every object of a service's release; a service's chart is this one include. */}}
{{- define "service-lib.service" -}}
{{- $objects := list "serviceaccount" "settings" "endpoint" "networkpolicy" }}
{{- if .Values.migration.enabled }}
{{- $objects = concat $objects (list "migration" "migrationpolicy") }}
{{- end }}
{{- if .Values.ingress.enabled }}{{ $objects = append $objects "ingress" }}{{ end }}
{{- if .Values.global.tls.enabled }}{{ $objects = append $objects "certificate" }}{{ end }}
{{- if .Values.global.serviceMonitor.enabled }}
{{- $objects = append $objects "servicemonitor" }}
{{- end }}
{{- range $objects }}
---
{{ include (printf "service-lib.%s" .) $ }}
{{- end }}
{{- $roles := list "api" }}
{{- if .Values.worker.enabled }}{{ $roles = append $roles "worker" }}{{ end }}
{{- range $role := $roles }}
{{- range list "deployment" "autoscaler" "disruptionbudget" }}
---
{{ include (printf "service-lib.%s" .) (dict "root" $ "role" $role) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What selects the pods of one role. Takes root and role, as does all below that a role has. */}}
{{- define "service-lib.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "service-lib.labels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: auditron
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "service-lib.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" .) | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

{{/* Headless: a gRPC client sees every pod and spreads its calls itself. */}}
{{- define "service-lib.endpoint" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" . "role" "api") | nindent 4 }}
spec:
  {{- if eq .Values.api.protocol "grpc" }}
  clusterIP: None
  {{- end }}
  selector: {{- include "service-lib.selector" (dict "root" . "role" "api") | nindent 4 }}
  ports:
    - name: {{ .Values.api.protocol }}
      port: {{ .Values.api.port }}
      targetPort: {{ .Values.api.protocol }}
{{- end }}

{{- define "service-lib.autoscaler" -}}
{{- $scaling := (index .root.Values .role).autoscaling }}
{{- if lt (int $scaling.max) (int $scaling.min) }}
{{- fail (printf "%s: %s.autoscaling.max is below min" .root.Chart.Name .role) }}
{{- end -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .root.Chart.Name }}-{{ .role }}
  labels: {{- include "service-lib.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .root.Chart.Name }}-{{ .role }}}
  minReplicas: {{ $scaling.min }}
  maxReplicas: {{ $scaling.max }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $scaling.cpu }}}}
    {{- with $scaling.queueLength }}
    - type: External # through prometheus-adapter; its rule stands in charts/platform
      external:
        metric:
          name: auditron_task_queue_length
          selector: {matchLabels: {service: {{ $.root.Chart.Name }}}}
        target: {type: AverageValue, averageValue: {{ . | quote }}}
    {{- end }}
{{- end }}

{{- define "service-lib.disruptionbudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Chart.Name }}-{{ .role }}
  labels: {{- include "service-lib.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "service-lib.selector" . | nindent 6 }}
{{- end }}

{{- define "service-lib.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" .) | nindent 4 }}
  {{- with .Values.ingress.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .Values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  tls:
    - {hosts: [{{ .Values.ingress.host | quote }}], secretName: {{ .Values.ingress.tlsSecret }}}
  rules:
    - host: {{ .Values.ingress.host | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: {{ .Chart.Name }}, port: {name: {{ .Values.api.protocol }}}}}
{{- end }}

{{/* cert-manager renews it; the server reads the files again for each new connection. */}}
{{- define "service-lib.certificate" -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" .) | nindent 4 }}
spec:
  secretName: {{ .Chart.Name }}-tls
  issuerRef: {kind: {{ .Values.global.tls.issuerKind }}, name: {{ .Values.global.tls.issuerName }}}
  duration: 24h
  renewBefore: 8h
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  usages: [digital signature, server auth, client auth]
  dnsNames:
    - {{ .Chart.Name }}
    - {{ .Chart.Name }}.{{ .Release.Namespace }}.svc
  uris: [spiffe://auditron/{{ .Release.Namespace }}/{{ .Chart.Name }}]
{{- end }}

{{/* The metrics of both roles. honorLabels: `service` is our own label and must stay as it is. */}}
{{- define "service-lib.servicemonitor" -}}
{{- $labels := include "service-lib.labels" (dict "root" .) | fromYaml -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .Chart.Name }}-metrics
  labels: {{- include "service-lib.labels" (dict "root" . "role" "metrics") | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app.kubernetes.io/name: {{ .Chart.Name }}}
  ports:
    - {name: metrics, port: 9090, targetPort: metrics}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .Chart.Name }}
  labels: {{- merge (dict) .Values.global.serviceMonitor.labels $labels | toYaml | nindent 4 }}
spec:
  selector:
    matchLabels: {{- include "service-lib.selector" (dict "root" . "role" "metrics") | nindent 6 }}
  endpoints:
    - {port: metrics, honorLabels: true}
{{- end }}
