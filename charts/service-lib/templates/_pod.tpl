{{/* Variables that are no secret, as a ConfigMap. */}}
{{- define "service-lib.settings" -}}
{{- $name := upper .Chart.Name }}
{{- $drain := eq .Values.api.protocol "http" | ternary (printf "%s_DRAIN_S" $name) "DRAIN_S" }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}
  labels: {{- include "service-lib.labels" (dict "root" .) | nindent 4 }}
data:
  {{ $name }}_LISTEN: "0.0.0.0:{{ .Values.api.port }}"
  {{ $name }}_METRICS_LISTEN: "0.0.0.0:9090"
  {{- range .Values.calls }}
  {{ upper . }}_ADDRESS: "{{ . }}:50051"
  {{- end }}
  {{- if has "s3" .Values.stores }}
  S3_ENDPOINT_URL: {{ .Values.global.s3.endpointUrl | quote }}
  S3_BUCKET: {{ .Values.global.s3.bucket | quote }}
  S3_REGION: {{ .Values.global.s3.region | quote }}
  {{- end }}
  {{- with .Values.global.otlpEndpoint }}
  OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
  {{- end }}
  {{- if .Values.global.tls.enabled }}
  RPC_TLS_CERT: /etc/auditron/tls/tls.crt
  RPC_TLS_KEY: /etc/auditron/tls/tls.key
  RPC_TLS_CA: /etc/auditron/tls/ca.crt
  {{- else }}
  RPC_PLAIN_TEXT: anywhere # the NetworkPolicies alone protect it, or a mesh encrypts
  {{- end }}
  {{ $drain }}: {{ sub .Values.terminationGraceSeconds 15 | quote }}
  {{- range $variable, $value := .Values.env }}
  {{ $variable }}: {{ $value | quote }}
  {{- end }}
{{- end }}

{{/* One variable out of a Secret. Takes variable, secret, optional. */}}
{{- define "service-lib.variable" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .variable }}{{ if .optional }}, optional: true{{ end }}}
{{ end }}

{{/* Each is named by itself: a pod that lacks one does not start, instead of taking a default. */}}
{{- define "service-lib.secretenv" -}}
{{- $own := .Values.secret | default .Chart.Name }}
{{- $name := upper .Chart.Name }}
{{- if has "postgres" .Values.stores }}
{{- range list "DATABASE_URL" "SYSTEM_DATABASE_URL" }}
{{- include "service-lib.variable" (dict "variable" (printf "%s_%s" $name .) "secret" $own) }}
{{- end }}
{{- end }}
{{- if has "redis" .Values.stores }}
{{- include "service-lib.variable" (dict "variable" "REDIS_URL" "secret" .Values.global.secrets.redis) }}
{{- end }}
{{- if has "s3" .Values.stores }}
{{- range list "S3_ACCESS_KEY" "S3_SECRET_KEY" }}
{{- include "service-lib.variable" (dict "variable" . "secret" $.Values.global.secrets.s3) }}
{{- end }}
{{- end }}
{{- range .Values.secretEnv }}
{{- include "service-lib.variable" (dict "variable" . "secret" $own) }}
{{- end }}
{{- range .Values.optionalSecretEnv }}
{{- include "service-lib.variable" (dict "variable" . "secret" $own "optional" true) }}
{{- end }}
{{- end }}

{{- define "service-lib.image" -}}
{{- $image := printf "auditron-%s" .Chart.Name }}
{{- with .Values.global.registry }}{{ $image = printf "%s/%s" . $image }}{{ end }}
{{- $tag := .Values.image.tag | default .Values.global.tag | default .Chart.AppVersion }}
{{- .Values.image.repository | default $image }}:{{ $tag }}
{{- end }}

{{/* What every pod has: no root, no token of the cluster's API, no unusual system calls. */}}
{{- define "service-lib.podsecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "service-lib.containersecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Health ends when a server drains, never because of a store: a restart would not mend that. */}}
{{- define "service-lib.probes" -}}
{{- $alive := "httpGet: {path: /metrics, port: metrics}" }}
{{- $ready := $alive }}
{{- if eq .role "api" }}
{{- if eq .root.Values.api.protocol "http" }}
{{- $ready = printf "httpGet: {path: %s, port: http}" .root.Values.api.healthPath }}
{{- else if .root.Values.global.tls.enabled }}{{/* the kubelet's grpc probe speaks no TLS */}}
{{- $ready = "tcpSocket: {port: grpc}" }}
{{- else }}
{{- $ready = printf "grpc: {port: %v}" .root.Values.api.port }}
{{- $alive = $ready }}
{{- end }}
{{- end -}}
startupProbe:
  {{ $alive }}
  periodSeconds: 2
  failureThreshold: 30
readinessProbe:
  {{ $ready }}
  periodSeconds: 5
  timeoutSeconds: 2
livenessProbe:
  {{ $alive }}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{/* Takes root and role. */}}
{{- define "service-lib.deployment" -}}
{{- $values := .root.Values }}
{{- $role := index $values .role }}
{{- $name := .root.Chart.Name }}
{{- $command := list "python" "-m" "libs.run" $name "--role" .role -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}-{{ .role }}
  labels: {{- include "service-lib.labels" . | nindent 4 }}
spec: # replicas: the autoscaler's
  revisionHistoryLimit: 3
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels: {{- include "service-lib.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "service-lib.labels" . | nindent 8 }}
        {{- range $values.calls }}{{/* opens that service's NetworkPolicy */}}
        auditron/calls-{{ . }}: "yes"
        {{- end }}
      annotations:
        checksum/settings: {{ include "service-lib.settings" .root | sha256sum }}
    spec:
      serviceAccountName: {{ $name }}
      {{- include "service-lib.podsecurity" .root | nindent 6 }}
      terminationGracePeriodSeconds: {{ $values.terminationGraceSeconds }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels: {{- include "service-lib.selector" $ | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .role }}
          image: {{ include "service-lib.image" .root }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          command: {{ $role.command | default $command | toJson }}
          envFrom: [{configMapRef: {name: {{ $name }}}}]
          env: {{- include "service-lib.secretenv" .root | trim | nindent 12 }}
          ports:
            {{- if eq .role "api" }}
            - {name: {{ $role.protocol }}, containerPort: {{ $role.port }}}
            {{- end }}
            - {name: metrics, containerPort: 9090}
          {{- include "service-lib.probes" . | nindent 10 }}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          {{- include "service-lib.containersecurity" . | nindent 10 }}
          resources: {{- toYaml $role.resources | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- if $values.global.tls.enabled }}
            - {name: tls, mountPath: /etc/auditron/tls, readOnly: true}
            {{- end }}
      volumes:
        - {name: tmp, emptyDir: {sizeLimit: {{ $role.tmpSize }}}}
        {{- if $values.global.tls.enabled }}
        - {name: tls, secret: {secretName: {{ $name }}-tls, defaultMode: 0440}}
        {{- end }}
{{- end }}

{{/* Before the new version starts. A hook runs before the release's objects exist: it needs none. */}}
{{- define "service-lib.migration" -}}
{{- $own := .Values.secret | default .Chart.Name }}
{{- $variables := dict "ADMIN_DATABASE_URL" .Values.global.secrets.migration }}
{{- range list "APP_PASSWORD" "SYSTEM_PASSWORD" }}
{{- $_ := set $variables (printf "%s_%s" (upper $.Chart.Name) .) $own }}
{{- end -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Chart.Name }}-migration
  labels: {{- include "service-lib.labels" (dict "root" . "role" "migration") | nindent 4 }}
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 5
  activeDeadlineSeconds: 600
  template:
    metadata:
      labels: {{- include "service-lib.labels" (dict "root" . "role" "migration") | nindent 8 }}
    spec:
      restartPolicy: Never
      {{- include "service-lib.podsecurity" . | nindent 6 }}
      containers:
        - name: migration
          image: {{ include "service-lib.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          command: [python, -m, libs.run, {{ .Chart.Name }}, --migrate]
          env:
            {{- range $variable, $secret := $variables }}
            {{- $source := dict "variable" $variable "secret" $secret }}
            {{- include "service-lib.variable" $source | trim | nindent 12 }}
            {{- end }}
          {{- include "service-lib.containersecurity" . | nindent 10 }}
          resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {sizeLimit: 64Mi}}]
{{- end }}
