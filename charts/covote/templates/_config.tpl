{{/*
covote's configuration file: the user's `config`, and what the chart decides. Keys of the second kind in `config` are
refused by name, so that nobody wonders which of two wins.
*/}}
{{- define "covote.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $owned := list
  "nats.url" "nats.credsFile" "nats.nkeySeedFile" "nats.inboxPrefix" "nats.tls" "nats.outageTimeoutMs" "nats.replicas" "nats.provision"
  "grpc.address" "grpc.reflection" "grpc.tls" "http.address" "metrics.host" "metrics.port" "run.dir"
  "policy.engine" "grm.engine" "metaRm.engine"
  "scaling.enabled" "scaling.actuator" "scaling.budgetGpus" "scaling.dryRun" "scaling.pools" "scaling.kubernetes"
-}}
{{- range $path := $owned -}}
{{- $parts := splitList "." $path -}}
{{- $section := index $config (first $parts) | default dict -}}
{{- if hasKey $section (last $parts) -}}
{{- $instead := dict
  "nats.url" "bus.url or nats.enabled" "nats.credsFile" "bus.auth" "nats.nkeySeedFile" "bus.auth" "nats.inboxPrefix" "bus.auth"
  "nats.tls" "bus.tls" "nats.outageTimeoutMs" "bus.outageTimeoutMs" "nats.replicas" "bus.replicas" "nats.provision" "natsSteward.enabled"
  "grpc.address" "grpc.port" "grpc.reflection" "grpc.reflection" "grpc.tls" "grpc.tls" "metrics.host" "metrics.port" "metrics.port" "metrics.port"
  "http.address" "http.enabled and http.port" "run.dir" "grpoLearner.run" "policy.engine" "policySampler.engine" "grm.engine" "grmWorker.engine" "metaRm.engine" "metaRm.engine"
  "scaling.enabled" "coScaler.enabled" "scaling.actuator" "coScaler.keda" "scaling.budgetGpus" "coScaler.budgetGpus" "scaling.dryRun" "coScaler.dryRun"
  "scaling.pools" "coScaler.pools" "scaling.kubernetes" "coScaler"
-}}
{{- fail (printf "config.%s: is decided by the chart; use %s" $path (index $instead $path)) -}}
{{- end -}}
{{- end -}}
{{- $nats := dict "url" (include "covote.natsUrl" .) "outageTimeoutMs" (int .Values.bus.outageTimeoutMs) "replicas" (int .Values.bus.replicas) "provision" (not .Values.natsSteward.enabled) -}}
{{- with .Values.bus.tls -}}
{{- if .existingSecret -}}
{{- $tls := dict "caFile" "/etc/covote-nats-tls/ca.crt" -}}
{{- if .clientCertificate -}}
{{- $tls = merge $tls (dict "certFile" "/etc/covote-nats-tls/tls.crt" "keyFile" "/etc/covote-nats-tls/tls.key") -}}
{{- end -}}
{{- $_ := set $nats "tls" $tls -}}
{{- end -}}
{{- end -}}
{{- if .Values.bus.auth.enabled -}}
{{- $_ := set $nats "nkeySeedFile" "/etc/covote-nats/seed.nk" -}}
{{- end -}}
{{- $grpc := dict "address" (printf "0.0.0.0:%d" (int .Values.grpc.port)) "reflection" .Values.grpc.reflection -}}
{{- if .Values.grpc.tls.enabled -}}
{{- $files := dict "certFile" "/etc/covote-grpc-tls/tls.crt" "keyFile" "/etc/covote-grpc-tls/tls.key" -}}
{{- if .Values.grpc.tls.clientVerification -}}
{{- $_ := set $files "caFile" "/etc/covote-grpc-tls/ca.crt" -}}
{{- end -}}
{{- $_ := set $grpc "tls" $files -}}
{{- end -}}
{{- $chart := dict
  "nats" $nats
  "grpc" $grpc
  "metrics" (dict "host" "0.0.0.0" "port" (int .Values.metrics.port))
  "run" (dict "dir" (printf "/var/lib/covote/%s" .Values.grpoLearner.run))
-}}
{{- if .Values.http.enabled -}}
{{- $_ := set $chart "http" (dict "address" (printf "0.0.0.0:%d" (int .Values.http.port))) -}}
{{- end -}}
{{- range $section, $key := dict "policy" "policySampler" "grm" "grmWorker" "metaRm" "metaRm" -}}
{{- $engine := include "covote.engine" (dict "root" $ "values" (index $.Values $key)) | fromYaml -}}
{{- if and (index $.Values $key).enabled (ne $engine.mode "embedded") -}}
{{- $endpoint := $engine.url -}}
{{- if eq $engine.mode "sidecar" }}{{ $endpoint = printf "http://127.0.0.1:%d" (int $engine.port) }}{{ end -}}
{{- $client := dict "kind" "openai" "endpoints" (list $endpoint) "model" ($engine.servedName | default $engine.model) -}}
{{- $_ := set $chart $section (dict "engine" (mergeOverwrite $client ($engine.client | default dict))) -}}
{{- end -}}
{{- end -}}
{{- if .Values.coScaler.enabled -}}
{{- $_ := set $chart "scaling" (include "covote.scaling" . | fromYaml) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config $chart) -}}
{{- end -}}

{{/* What the co-scaler scales: the Deployments of this release, by the GPUs that one pod of each takes. */}}
{{- define "covote.scaling" -}}
{{- $root := . -}}
{{- $scaler := .Values.coScaler -}}
actuator: {{ ternary "keda" "kubernetes" $scaler.keda.enabled }}
dryRun: {{ $scaler.dryRun }}
{{- with $scaler.budgetGpus }}
budgetGpus: {{ int . }}
{{- end }}
kubernetes:
  lease: {{ include "covote.fullname" . }}-co-scaler
pools:
  {{- range $pool := list (list "policy" "policySampler" "policy-sampler") (list "grm" "grmWorker" "grm-worker") (list "metaRm" "metaRm" "meta-rm") }}
  {{- $values := index $root.Values (index $pool 1) }}
  {{- $engine := include "covote.engine" (dict "root" $root "values" $values) | fromYaml }}
  {{- $bounds := index $scaler.pools (index $pool 0) }}
  {{ index $pool 0 }}:
    kind: Deployment
    name: {{ include "covote.fullname" $root }}-{{ index $pool 2 }}
    min: {{ ternary (int $bounds.min) 0 $values.enabled }}
    max: {{ ternary (int $bounds.max) 0 $values.enabled }}
    gpusPerReplica: {{ ternary (max 1 (int $engine.gpus)) 1 (eq $engine.mode "sidecar") }}
  {{- end }}
{{- end -}}
