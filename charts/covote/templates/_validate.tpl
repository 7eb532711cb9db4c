{{/* What the schema cannot say: values that are possible alone and impossible together. One line each, key first. */}}
{{- define "covote.validate" -}}
{{- $v := .Values -}}
{{- if and $v.nats.enabled $v.bus.url -}}
{{- fail "bus.url: cannot go with nats.enabled: true; set nats.enabled: false to use a NATS that is already there" -}}
{{- end -}}
{{- if and (not $v.nats.enabled) (not $v.bus.url) -}}
{{- fail "bus.url: is missing; give the address of your NATS, or set nats.enabled: true" -}}
{{- end -}}
{{- if and $v.bus.auth.enabled (not $v.bus.auth.existingSecret) -}}
{{- fail "bus.auth.existingSecret: is missing; `covote nats keys` writes a Secret with the seeds" -}}
{{- end -}}
{{- if and $v.bus.auth.enabled (not $v.natsSteward.enabled) $v.nats.enabled -}}
{{- fail "natsSteward.enabled: must be true with bus.auth.enabled; no other service may make streams" -}}
{{- end -}}
{{- if and $v.bus.auth.enabled $v.nats.enabled -}}
{{- range $service := (include "covote.services" . | fromJson).services -}}
{{- if not (index $v.bus.auth.nkeys $service.name) -}}
{{- fail (printf "bus.auth.nkeys.%s: is missing; `covote nats keys` prints the public key of every service" $service.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int $v.bus.replicas) 1) $v.nats.enabled (not ((($v.nats.config).cluster).enabled)) -}}
{{- fail (printf "bus.replicas: %d copies need a NATS cluster; set nats.config.cluster.enabled: true" (int $v.bus.replicas)) -}}
{{- end -}}
{{- range $key := list "policySampler" "grmWorker" "metaRm" -}}
{{- $values := index $v $key -}}
{{- $engine := mergeOverwrite (deepCopy $v.engine) $values.engine -}}
{{- if and $values.enabled (eq $engine.mode "endpoint") (not $engine.url) -}}
{{- fail (printf "%s.engine.url: is missing; mode endpoint needs the address of the engine" $key) -}}
{{- end -}}
{{- if and $values.enabled (ne $engine.mode "embedded") (not $engine.model) -}}
{{- fail (printf "%s.engine.model: is missing; mode %s needs the name of a model" $key $engine.mode) -}}
{{- end -}}
{{- if and (eq $engine.mode "sidecar") (hasKey $values.engine "url") $values.engine.url -}}
{{- fail (printf "%s.engine.url: cannot go with mode sidecar; set mode: endpoint to use an engine that is already there" $key) -}}
{{- end -}}
{{- end -}}
{{- if and $v.coScaler.enabled $v.coScaler.keda.enabled $v.grpc.tls.enabled -}}
{{- fail "coScaler.keda.enabled: cannot go with grpc.tls.enabled: KEDA is given no certificate; leave the scaling to the co-scaler itself" -}}
{{- end -}}
{{- if $v.coScaler.enabled -}}
{{- $least := 0 -}}
{{- range $pool, $key := dict "policy" "policySampler" "grm" "grmWorker" "metaRm" "metaRm" -}}
{{- $values := index $v $key -}}
{{- $bounds := index $v.coScaler.pools $pool -}}
{{- if $values.enabled -}}
{{- if lt (int $bounds.max) (int $bounds.min) -}}
{{- fail (printf "coScaler.pools.%s.max: must be at least min (%d), got %d" $pool (int $bounds.min) (int $bounds.max)) -}}
{{- end -}}
{{- if lt (int $bounds.min) 1 -}}
{{- fail (printf "coScaler.pools.%s.min: must be at least 1, a pool is never scaled to zero; set %s.enabled: false to be without it" $pool $key) -}}
{{- end -}}
{{- $engine := mergeOverwrite (deepCopy $v.engine) $values.engine -}}
{{- $gpus := ternary (max 1 (int $engine.gpus)) 1 (eq $engine.mode "sidecar") -}}
{{- $least = add $least (mul (int $bounds.min) $gpus) -}}
{{- end -}}
{{- end -}}
{{- $budget := int $v.coScaler.budgetGpus -}}
{{- if and (gt $budget 0) (lt $budget (int $least)) -}}
{{- fail (printf "coScaler.budgetGpus: %d GPUs are too few for the pools' minimums, which take %d; raise it or lower coScaler.pools.*.min" $budget (int $least)) -}}
{{- end -}}
{{- end -}}
{{- with $v.grpc.tls -}}
{{- if and .enabled (not .existingSecret) (not .certManager.enabled) -}}
{{- fail "grpc.tls.existingSecret: is missing; give a Secret with tls.crt, tls.key and ca.crt, or set grpc.tls.certManager.enabled: true" -}}
{{- end -}}
{{- if and .enabled .certManager.enabled (not .certManager.issuerRef.name) -}}
{{- fail "grpc.tls.certManager.issuerRef.name: is missing; give the name of an Issuer" -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.metaRm.enabled) (ne (toString (($v.config.metaRm | default dict).keep)) "0") -}}
{{- fail "config.metaRm.keep: must be 0 with metaRm.enabled: false, or every judgment waits for scores that nobody gives" -}}
{{- end -}}
{{- if and $v.gpu.dra.enabled (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "gpu.dra.enabled: needs Kubernetes 1.34 (resource.k8s.io/v1), this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
