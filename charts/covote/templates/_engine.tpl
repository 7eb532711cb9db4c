{{/*
An engine in the pod, as a native side-car: it is up before covote's container starts (its startup probe holds the pod
while the model loads) and it is stopped after covote's container has drained, so that no vote in flight loses its
engine. Takes (root, engine).
*/}}
{{- define "covote.engineSidecar" -}}
{{- $engine := .engine -}}
{{- $gpu := .root.Values.gpu -}}
- name: engine
  image: {{ $engine.image | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  restartPolicy: Always
  {{- if or $engine.command $engine.args }}
  {{- with $engine.command }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  args:
    {{- with $engine.args }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- else }}
  # Said in full, because the entry point of vLLM's image changed between its versions.
  command: [vllm, serve]
  args:
    - {{ $engine.model | quote }}
    - --served-model-name
    - {{ $engine.servedName | default $engine.model | quote }}
    - --host
    - 0.0.0.0
    - --port
    - {{ $engine.port | quote }}
    {{- if gt (int $engine.gpus) 1 }}
    - --tensor-parallel-size
    - {{ $engine.gpus | quote }}
    {{- end }}
  {{- end }}
    {{- with $engine.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: HOME
      value: /cache
    - name: HF_HOME
      value: /cache/huggingface
    {{- with $engine.hubTokenSecret }}
    - name: HF_TOKEN
      valueFrom:
        secretKeyRef: { name: {{ . }}, key: token }
    {{- end }}
    {{- with $engine.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: engine
      containerPort: {{ $engine.port }}
  startupProbe:
    {{- include "covote.engineProbe" $engine | nindent 4 }}
    periodSeconds: {{ $engine.startup.periodSeconds }}
    failureThreshold: {{ $engine.startup.failureThreshold }}
  livenessProbe:
    {{- include "covote.engineProbe" $engine | nindent 4 }}
    periodSeconds: 20
    timeoutSeconds: 10
    failureThreshold: 6
  resources:
    {{- $resources := deepCopy ($engine.resources | default dict) }}
    {{- if gt (int $engine.gpus) 0 }}
    {{- if $gpu.dra.enabled }}
    {{- $_ := set $resources "claims" (list (dict "name" "gpu")) }}
    {{- else }}
    {{- $count := dict $gpu.resource (int $engine.gpus) }}
    {{- $_ := set $resources "limits" (merge (deepCopy ($resources.limits | default dict)) $count) }}
    {{- $_ := set $resources "requests" (merge (deepCopy ($resources.requests | default dict)) $count) }}
    {{- end }}
    {{- end }}
    {{- toYaml $resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: {{ $engine.readOnlyRootFilesystem }}
    capabilities:
      drop: [ALL]
  volumeMounts:
    - { name: tmp, mountPath: /tmp, subPath: engine }
    - { name: cache, mountPath: /cache }
    - { name: shm, mountPath: /dev/shm }
    {{- if .root.Values.modelsVolume }}
    - { name: models, mountPath: /models, readOnly: true }
    {{- end }}
{{- end -}}

{{/* Seconds-long garbage collections of a busy engine are no reason to end it: only startup is waited for patiently. */}}
{{- define "covote.engineProbe" -}}
httpGet:
  path: {{ .healthPath }}
  port: engine
{{- end -}}

{{/* What a service's engine is: its own values over the common ones. Takes (root, values). */}}
{{- define "covote.engine" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.engine) (.values.engine | default dict)) -}}
{{- end -}}
