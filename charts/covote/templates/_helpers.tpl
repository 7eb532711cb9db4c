{{- define "covote.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "covote.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "covote.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object; takes the root. */}}
{{- define "covote.labels" -}}
app.kubernetes.io/name: {{ include "covote.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: covote
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What selects the pods of one service; takes (root, name). */}}
{{- define "covote.selector" -}}
app.kubernetes.io/name: {{ include "covote.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "covote.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The services that run, in the order of this list: [{name, key, group, values, grpc}]. */}}
{{- define "covote.services" -}}
{{- $all := list
  (dict "name" "policy-sampler" "key" "policySampler" "group" "policy" "engine" true "grpc" true)
  (dict "name" "grm-worker" "key" "grmWorker" "group" "reward" "engine" true "grpc" false)
  (dict "name" "meta-rm" "key" "metaRm" "group" "reward" "engine" true "grpc" false)
  (dict "name" "vote-aggregator" "key" "voteAggregator" "group" "control" "engine" false "grpc" true)
  (dict "name" "grpo-learner" "key" "grpoLearner" "group" "control" "engine" false "grpc" false)
  (dict "name" "co-scaler" "key" "coScaler" "group" "control" "engine" false "grpc" .Values.coScaler.keda.enabled)
  (dict "name" "nats-steward" "key" "natsSteward" "group" "control" "engine" false "grpc" false)
-}}
{{- $enabled := list -}}
{{- range $service := $all -}}
{{- if (index $.Values $service.key).enabled -}}
{{- $enabled = append $enabled $service -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "services" $enabled) -}}
{{- end -}}

{{- define "covote.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "covote.natsName" . }}:4222
{{- else -}}
{{ .Values.bus.url }}
{{- end -}}
{{- end -}}

{{/* The Service of the NATS chart, by its own rule. */}}
{{- define "covote.natsName" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.fullnameOverride -}}
{{- $nats.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "nats" $nats.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "covote.grpcTlsSecret" -}}
{{- .Values.grpc.tls.existingSecret | default (printf "%s-grpc-tls" (include "covote.fullname" .)) -}}
{{- end -}}

{{/* Whole seconds that a pod gets to stop: leaving the endpoints, the drain, and the end of its engine. */}}
{{- define "covote.graceSeconds" -}}
{{- $drain := divf (.root.Values.config.cluster.drainTimeoutMs | float64) 1000.0 | ceil | int -}}
{{- $engine := 0 -}}
{{- if eq .engine.mode "sidecar" }}{{ $engine = 15 }}{{ end -}}
{{- add .root.Values.pods.preStopSeconds $drain 10 $engine -}}
{{- end -}}

{{/* No more rights than a pod of the restricted standard has. */}}
{{- define "covote.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.pods.runAsUser }}
runAsGroup: {{ .Values.pods.runAsUser }}
fsGroup: {{ .Values.pods.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "covote.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
