{{- define "banyan.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "banyan.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "banyan.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "banyan.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods. Context: root, component. */}}
{{- define "banyan.selector" -}}
app.kubernetes.io/name: {{ include "banyan.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "banyan.labels" -}}
{{ include "banyan.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: banyan
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "banyan.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* The targets that are on, as YAML: name → what the program needs (`facts`), and what was chosen (`chosen`). */}}
{{- define "banyan.targets" -}}
{{- $facts := .Files.Get "files/targets.yaml" | fromYaml -}}
{{- $found := dict -}}
{{- range $name, $values := .Values.targets -}}
{{- if $values.enabled -}}
{{- $chosen := mergeOverwrite (deepCopy $.Values.defaults) (deepCopy $values) -}}
{{- $_ := set $found $name (dict "facts" (get $facts $name) "chosen" $chosen) -}}
{{- end -}}
{{- end -}}
{{- include "banyan.refuse" (dict "root" . "targets" $found) -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Says what would not start, before it is installed. */}}
{{- define "banyan.refuse" -}}
{{- $root := .root -}}
{{- $secrets := $root.Values.secrets -}}
{{- if not .targets -}}{{- fail "targets: none is enabled" -}}{{- end -}}
{{- if and (hasKey .targets "all") (gt (len (omit .targets "all" "worker")) 0) -}}
{{- fail "targets: `all` serves everything; enable it or the services, not both" -}}
{{- end -}}
{{- range $name, $target := .targets -}}
{{- range $target.facts.asks -}}
{{- if not (or (hasKey $.targets .) (hasKey $.targets "all")) -}}
{{- fail (printf "targets: %s asks %s, which is not enabled" $name .) -}}
{{- end -}}
{{- end -}}
{{- range $target.facts.databases -}}
{{- if not (or $secrets.database (get $secrets (printf "%sDatabase" .))) -}}
{{- fail (printf "secrets: %s needs the database of %s: set secrets.database or secrets.%sDatabase" $name . .) -}}
{{- end -}}
{{- end -}}
{{- if and $target.chosen.keda.enabled (ne $name "worker") -}}
{{- fail (printf "targets.%s.keda: only the worker has a queue" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (not $root.Values.kafka.servers) (not (hasKey .targets "all")) -}}
{{- fail "kafka.servers: services hear of each other's events through Kafka" -}}
{{- end -}}
{{- if and (hasKey .targets "worker") (not $secrets.amqp) -}}
{{- fail "secrets.amqp: a worker takes its tasks from RabbitMQ" -}}
{{- end -}}
{{- if and $secrets.amqp (not (hasKey .targets "worker")) -}}
{{- fail "targets.worker: with RabbitMQ (secrets.amqp) the tasks wait for a worker, and none is enabled" -}}
{{- end -}}
{{- end -}}

{{/* The address of a service for other services; with `all` that is everything. Context: root, service, targets. */}}
{{- define "banyan.address" -}}
{{- $component := ternary "all" .service (hasKey .targets "all") -}}
http://{{ include "banyan.fullname" .root }}-{{ $component }}:8000
{{- end -}}

{{/* A variable from a Secret. Context: variable, ref. */}}
{{- define "banyan.secretVariable" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .ref.name }}
      key: {{ .ref.key }}
{{- end -}}

{{/* Variables of the databases of some modules. Context: root, modules. */}}
{{- define "banyan.databaseVariables" -}}
{{- $secrets := .root.Values.secrets -}}
{{- if and .modules $secrets.database }}
{{ include "banyan.secretVariable" (dict "variable" "BANYAN_DATABASE_URL" "ref" $secrets.database) }}
{{- end }}
{{- range $module := .modules }}
{{- with get $secrets (printf "%sDatabase" $module) }}
{{ include "banyan.secretVariable" (dict "variable" (printf "BANYAN_%s_DATABASE_URL" (upper $module)) "ref" .) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every process is told. Context: root. Not from a ConfigMap: the migration runs before the chart's own are there,
     and a changed value rolls the pods. */}}
{{- define "banyan.commonVariables" -}}
- name: BANYAN_ENV
  value: production
- name: BANYAN_DATA_DIR
  value: /data
- name: BANYAN_PUBLIC_URL
  value: {{ .root.Values.publicUrl | quote }}
{{ include "banyan.secretVariable" (dict "variable" "BANYAN_SECRET_KEY" "ref" .root.Values.secrets.secretKey) }}
{{- end -}}

{{/* The whole environment of a target. Context: root, name, target, targets. */}}
{{- define "banyan.environment" -}}
{{- $values := .root.Values -}}
{{- $backends := .target.facts.backends -}}
{{ include "banyan.commonVariables" . }}
- name: BANYAN_HOST
  value: 0.0.0.0
- name: BANYAN_PORT
  value: "8000"
- name: BANYAN_DRAIN_DELAY
  value: {{ $values.drain.delaySeconds | quote }}
- name: BANYAN_SHUTDOWN_TIMEOUT
  value: {{ $values.drain.timeoutSeconds | quote }}
{{- with $values.trustedProxies }}
- name: BANYAN_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- include "banyan.databaseVariables" (dict "root" .root "modules" .target.facts.databases) }}
{{- range .target.facts.asks }}
- name: BANYAN_{{ upper . }}_URL
  value: {{ include "banyan.address" (dict "root" $.root "service" . "targets" $.targets) }}
{{- end }}
{{- if and $values.secrets.redis (has "redis" $backends) }}
{{ include "banyan.secretVariable" (dict "variable" "BANYAN_REDIS_URL" "ref" $values.secrets.redis) }}
{{- end }}
{{- if and $values.kafka.servers (has "kafka" $backends) }}
- name: BANYAN_KAFKA_SERVERS
  value: {{ join "," $values.kafka.servers | quote }}
{{- end }}
{{- if and $values.secrets.amqp (has "amqp" $backends) }}
{{ include "banyan.secretVariable" (dict "variable" "BANYAN_AMQP_URL" "ref" $values.secrets.amqp) }}
{{- end }}
{{- if and $values.smtp.host (has "smtp" $backends) }}
- name: BANYAN_SMTP_HOST
  value: {{ $values.smtp.host | quote }}
- name: BANYAN_SMTP_PORT
  value: {{ $values.smtp.port | quote }}
- name: BANYAN_SMTP_SECURITY
  value: {{ $values.smtp.security }}
- name: BANYAN_MAIL_FROM
  value: {{ $values.smtp.from | quote }}
{{- with $values.smtp.user }}
- name: BANYAN_SMTP_USER
  value: {{ . | quote }}
{{- end }}
{{- with $values.secrets.smtpPassword }}
{{ include "banyan.secretVariable" (dict "variable" "BANYAN_SMTP_PASSWORD" "ref" .) }}
{{- end }}
{{- end }}
{{- range $variable, $value := mergeOverwrite (deepCopy $values.settings) (deepCopy .target.chosen.settings) }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of a pod and of a container, as the pod security standard "restricted" asks. The user is that of the image. */}}
{{- define "banyan.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "banyan.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* The two places that may be written to. */}}
{{- define "banyan.volumes" -}}
- name: data
  emptyDir: { sizeLimit: 256Mi }
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
{{- end -}}

{{- define "banyan.volumeMounts" -}}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- end -}}

{{/* What an autoscaler changes the number of. Context: root, name, target. */}}
{{- define "banyan.scaled" -}}
{{- if .target.chosen.rollout -}}
apiVersion: argoproj.io/v1alpha1
kind: Rollout
{{- else -}}
apiVersion: apps/v1
kind: Deployment
{{- end }}
name: {{ include "banyan.fullname" .root }}-{{ .name }}
{{- end -}}
