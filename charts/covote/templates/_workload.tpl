{{/*
The pod of a service; all services are made alike. Takes (root, service: {name, key, group, engine, grpc}).
*/}}
{{- define "covote.pod" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $values := index $root.Values $service.key -}}
{{- $engine := dict "mode" "none" -}}
{{- if $service.engine -}}
{{- $engine = include "covote.engine" (dict "root" $root "values" $values) | fromYaml -}}
{{- end -}}
{{- $sidecar := eq $engine.mode "sidecar" -}}
{{- $gpu := and $sidecar (gt (int $engine.gpus) 0) -}}
{{- $pods := $root.Values.pods -}}
metadata:
  labels:
    {{- include "covote.selector" (dict "root" $root "name" $service.name) | nindent 4 }}
    app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
    {{- if $service.engine }}
    covote.io/engine: {{ $engine.mode }}
    {{- end }}
    {{- with merge (dict) ($values.podLabels | default dict) $pods.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "covote.config" $root | sha256sum }}
    {{- with merge (dict) ($values.podAnnotations | default dict) $pods.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if and (eq $service.name "co-scaler") (not $values.keda.enabled) }}
  serviceAccountName: {{ include "covote.fullname" $root }}-co-scaler
  automountServiceAccountToken: true
  {{- else }}
  serviceAccountName: {{ include "covote.fullname" $root }}
  automountServiceAccountToken: false
  {{- end }}
  enableServiceLinks: false
  {{- if eq $service.name "grpo-learner" }}
  restartPolicy: OnFailure
  {{- end }}
  terminationGracePeriodSeconds: {{ include "covote.graceSeconds" (dict "root" $root "engine" $engine) }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- $priority := $values.priorityClassName }}
  {{- if and (not $priority) $root.Values.priorityClasses.create }}
  {{- $priority = printf "%s-%s" (include "covote.fullname" $root) $service.group }}
  {{- end }}
  {{- with $priority }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if and $gpu $root.Values.gpu.runtimeClassName }}
  runtimeClassName: {{ $root.Values.gpu.runtimeClassName }}
  {{- end }}
  {{- $nodes := deepCopy (coalesce $values.nodeSelector $pods.nodeSelector | default dict) }}
  {{- if $gpu }}{{ $nodes = merge $nodes $root.Values.gpu.nodeSelector }}{{ end }}
  {{- with $nodes }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $tolerations := coalesce $values.tolerations $pods.tolerations | default list }}
  {{- if $gpu }}{{ $tolerations = concat $tolerations $root.Values.gpu.tolerations }}{{ end }}
  {{- with $tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with coalesce $values.affinity $pods.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.topologySpread.keys }}
  topologySpreadConstraints:
    {{- range . }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: {{ $root.Values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "covote.selector" (dict "root" $root "name" $service.name) | nindent 10 }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- include "covote.podSecurityContext" $root | nindent 4 }}
  {{- if and $gpu $root.Values.gpu.dra.enabled }}
  resourceClaims:
    - name: gpu
      resourceClaimTemplateName: {{ include "covote.fullname" $root }}-{{ $service.name }}-gpu
  {{- end }}
  {{- if $sidecar }}
  initContainers:
    {{- include "covote.engineSidecar" (dict "root" $root "engine" $engine) | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ $service.name }}
      image: {{ include "covote.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- include "covote.command" (dict "root" $root "service" $service) | nindent 6 }}
      env:
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        {{- if $root.Values.bus.auth.enabled }}
        - name: COVOTE_NATS_INBOX_PREFIX
          value: _INBOX_{{ $service.name }}
        {{- end }}
        {{- if eq $service.name "nats-steward" }}
        - name: COVOTE_NATS_PROVISION
          value: "true"
        {{- end }}
        {{- with $values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: metrics
          containerPort: {{ $root.Values.metrics.port }}
        {{- if $service.grpc }}
        - name: grpc
          containerPort: {{ $root.Values.grpc.port }}
        {{- end }}
        {{- if and (eq $service.name "vote-aggregator") $root.Values.http.enabled }}
        - name: http
          containerPort: {{ $root.Values.http.port }}
        {{- end }}
      startupProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 3
      {{- if gt (int $pods.preStopSeconds) 0 }}
      lifecycle:
        preStop:
          sleep: { seconds: {{ $pods.preStopSeconds }} }
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- include "covote.securityContext" $root | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/covote, readOnly: true }
        - { name: tmp, mountPath: /tmp, subPath: covote }
        {{- if $root.Values.bus.auth.enabled }}
        - { name: nats-seed, mountPath: /etc/covote-nats, readOnly: true }
        {{- end }}
        {{- if $root.Values.bus.tls.existingSecret }}
        - { name: nats-tls, mountPath: /etc/covote-nats-tls, readOnly: true }
        {{- end }}
        {{- if $root.Values.grpc.tls.enabled }}
        - { name: grpc-tls, mountPath: /etc/covote-grpc-tls, readOnly: true }
        {{- end }}
        {{- if and $service.engine $root.Values.modelsVolume }}
        - { name: models, mountPath: /models, readOnly: true }
        {{- end }}
        {{- if eq $service.name "grpo-learner" }}
        - { name: state, mountPath: /var/lib/covote }
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "covote.fullname" $root }}-config
    - name: tmp
      emptyDir: {}
    {{- if $root.Values.bus.auth.enabled }}
    # Only the seed of this service.
    - name: nats-seed
      secret:
        secretName: {{ $root.Values.bus.auth.existingSecret }}
        defaultMode: 0440
        items:
          - { key: {{ $service.name }}.nk, path: seed.nk }
    {{- end }}
    {{- if $root.Values.bus.tls.existingSecret }}
    - name: nats-tls
      secret:
        secretName: {{ $root.Values.bus.tls.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if $root.Values.grpc.tls.enabled }}
    - name: grpc-tls
      secret:
        secretName: {{ include "covote.grpcTlsSecret" $root }}
        defaultMode: 0440
    {{- end }}
    {{- if and $service.engine $root.Values.modelsVolume }}
    - name: models
      {{- toYaml $root.Values.modelsVolume | nindent 6 }}
    {{- end }}
    {{- if $sidecar }}
    - name: cache
      {{- toYaml ($engine.cacheVolume | default (dict "emptyDir" (dict))) | nindent 6 }}
    - name: shm
      emptyDir: { medium: Memory, sizeLimit: {{ $engine.shmSize }} }
    {{- end }}
    {{- if eq $service.name "grpo-learner" }}
    - name: state
      {{- if $values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ $values.persistence.existingClaim | default (printf "%s-grpo-learner" (include "covote.fullname" $root)) }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
{{- end -}}

{{- define "covote.command" -}}
command: [node]
args: [dist/services/{{ .service.name }}/main.js, --config, /etc/covote/covote.yaml, --id, $(POD_NAME)]
{{- end -}}

{{/*
A Deployment. Where the co-scaler may have changed the number of pods, an upgrade keeps what it finds.
A rolling update of GPU pods frees a GPU before it asks for one: there is no spare one.
*/}}
{{- define "covote.deployment" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $values := index $root.Values $service.key -}}
{{- $name := printf "%s-%s" (include "covote.fullname" $root) $service.name -}}
{{- $replicas := $values.replicas | default 1 -}}
{{- if and (eq $service.name "co-scaler") $values.keda.enabled }}{{ $replicas = 1 }}{{ end -}}
{{- if and $service.engine $root.Values.coScaler.enabled -}}
{{- $live := lookup "apps/v1" "Deployment" $root.Release.Namespace $name -}}
{{- if $live }}{{ $replicas = $live.spec.replicas }}{{ end -}}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "covote.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $service.name }}
spec:
  replicas: {{ $replicas }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "covote.selector" (dict "root" $root "name" $service.name) | nindent 6 }}
  strategy:
    {{- if $service.engine }}
    type: RollingUpdate
    rollingUpdate: { maxSurge: 0, maxUnavailable: 1 }
    {{- else if eq $service.name "nats-steward" }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
    {{- end }}
  template:
    {{- include "covote.pod" (dict "root" $root "service" $service) | nindent 4 }}
{{- end -}}
