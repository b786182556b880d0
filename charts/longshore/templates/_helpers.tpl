{{- define "longshore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of names: the release's name when it says what it is, else both. Room is left for suffixes. */}}
{{- define "longshore.fullname" -}}
{{- $name := include "longshore.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide objects of two releases must not meet. */}}
{{- define "longshore.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "longshore.fullname" .) -}}
{{- end -}}

{{/* Call with (list $ "component"). */}}
{{- define "longshore.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "longshore.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Of every object; call with (list $ "component"). */}}
{{- define "longshore.labels" -}}
{{- $root := first . -}}
{{ include "longshore.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: longshore
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "longshore.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the restricted profile asks of a pod; call with a user and a group, either of which may be null. */}}
{{- define "longshore.podSecurity" -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" .user) }}
runAsUser: {{ int64 .user }}
{{- end }}
{{- if not (kindIs "invalid" .group) }}
runAsGroup: {{ int64 .group }}
fsGroup: {{ int64 .group }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* … and of a container. */}}
{{- define "longshore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The part of a pod's spec that all pods of our own image share. */}}
{{- define "longshore.ownPod" -}}
# Services would otherwise become variables such as LONGSHORE_API_PORT.
enableServiceLinks: false
securityContext:
  {{- include "longshore.podSecurity" (dict "user" .Values.runAsUser "group" .Values.runAsGroup) | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 256Mi
{{- end -}}

{{/* The part of a container that all containers of our own image share. */}}
{{- define "longshore.ownContainer" -}}
image: {{ include "longshore.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "longshore.containerSecurity" . | nindent 2 }}
{{- end -}}

{{- define "longshore.tmpMount" -}}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{/* A volume for each pod of a StatefulSet: (list "name" with its size and storageClassName). */}}
{{- define "longshore.volumeClaim" -}}
{{- $values := index . 1 -}}
- metadata:
    name: {{ index . 0 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with $values.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ $values.size }}
{{- end -}}

{{/* Where pods run; call with (list $ "api" .Values.api). */}}
{{- define "longshore.placement" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if kindIs "slice" $values.topologySpreadConstraints }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "longshore.selector" (list $root $component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Liveness says that the process answers; readiness that its stores do. A slow start is no reason to be killed. */}}
{{- define "longshore.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- define "longshore.postgresqlSecret" -}}
{{- if .Values.postgresql.enabled -}}
{{ include "longshore.fullname" . }}-postgresql
{{- else if .Values.postgresql.existingSecret -}}
{{ .Values.postgresql.existingSecret }}
{{- else -}}
{{- fail "postgresql.existingSecret: name the Secret with the URLs of your PostgreSQL, or set postgresql.enabled=true for a trial" -}}
{{- end -}}
{{- end -}}

{{- define "longshore.redisSecret" -}}
{{- if .Values.redis.enabled -}}
{{ include "longshore.fullname" . }}-redis
{{- else if .Values.redis.existingSecret -}}
{{ .Values.redis.existingSecret }}
{{- else -}}
{{- fail "redis.existingSecret: name the Secret with the URL of your Redis, or set redis.enabled=true for a trial" -}}
{{- end -}}
{{- end -}}

{{/* A variable from a key of a Secret: (list "NAME" "secret" "key" optional). */}}
{{- define "longshore.secretVariable" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
      {{- if index . 3 }}
      optional: true
      {{- end }}
{{- end -}}

{{/* Variables of every long-running process. */}}
{{- define "longshore.processEnv" -}}
{{ include "longshore.secretVariable" (list "LONGSHORE_POSTGRES_URL" (include "longshore.postgresqlSecret" .) "url" false) }}
{{ include "longshore.secretVariable" (list "LONGSHORE_REDIS_URL" (include "longshore.redisSecret" .) "url" false) }}
- name: LONGSHORE_HEALTH_PORT
  value: '8081'
{{- end -}}

{{- define "longshore.envFrom" -}}
{{- if or .Values.config .Values.envFrom }}
envFrom:
  {{- if .Values.config }}
  - configMapRef:
      name: {{ include "longshore.fullname" . }}
  {{- end }}
  {{- with .Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "longshore.schemaVersion" -}}
{{ index .Chart.Annotations "longshore.dev/schema-version" }}
{{- end -}}

{{/* The password that was given, or a generated one that stays what it is: (list $ "secret" "key" given). */}}
{{- define "longshore.password" -}}
{{- $root := index . 0 -}}
{{- $there := lookup "v1" "Secret" $root.Release.Namespace (index . 1) | default dict -}}
{{- if index . 3 -}}
{{ index . 3 }}
{{- else if dig "data" (index . 2) "" $there -}}
{{ dig "data" (index . 2) "" $there | b64dec }}
{{- else -}}
{{ randAlphaNum 32 }}
{{- end -}}
{{- end -}}

{{/* The rules of a role of files/rbac: (list $ "file" index). They are the files of k8s/rbac, which give the reasons. */}}
{{- define "longshore.rules" -}}
{{- $documents := splitList "\n---\n" ((index . 0).Files.Get (printf "files/rbac/%s.yaml" (index . 1))) -}}
{{- toYaml (index $documents (index . 2) | fromYaml).rules -}}
{{- end -}}

{{/* The namespace whose jobs a first key is for, and which the default pools serve. */}}
{{- define "longshore.jobsNamespace" -}}
{{- .Values.defaultPools.namespace | default .Values.watchNamespace | default .Release.Namespace -}}
{{- end }}
