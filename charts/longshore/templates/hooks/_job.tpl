{{/*
A hook: a Job of our image with an account and rights that exist while it runs.
Call with a dict: root, name, hook, args, clusterRules, rules (of the release's namespace).
*/}}
{{- define "longshore.hook" -}}
{{- $root := .root }}
{{- $name := printf "%s-%s" (include "longshore.fullname" $root) .name }}
{{- $clusterName := printf "%s-%s" (include "longshore.clusterName" $root) .name }}
{{- $annotations := dict "helm.sh/hook" .hook "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{- $before := merge (dict "helm.sh/hook-weight" "-5") $annotations }}
{{- $labels := include "longshore.labels" (list $root .name) }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- toYaml $before | nindent 4 }}
automountServiceAccountToken: false
{{- if $root.Values.rbac.create }}
{{- range $grant := .grants }}
{{- $scope := empty $grant.namespace | ternary "ClusterRole" "Role" }}
{{- $grantName := empty $grant.namespace | ternary $clusterName (printf "%s-%s" $clusterName ($grant.suffix | default "")) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}
metadata:
  name: {{ $grantName }}
  {{- with $grant.namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- toYaml $before | nindent 4 }}
rules:
  {{- $grant.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $scope }}Binding
metadata:
  name: {{ $grantName }}
  {{- with $grant.namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- toYaml $before | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $scope }}
  name: {{ $grantName }}
subjects:
  - kind: ServiceAccount
    name: {{ $name }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- toYaml $annotations | nindent 4 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 240
  template:
    metadata:
      labels:
        {{- include "longshore.selector" (list $root .name) | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: true
      {{- include "longshore.ownPod" $root | nindent 6 }}
      containers:
        - name: {{ .name }}
          args:
            {{- toYaml .args | nindent 12 }}
          {{- include "longshore.ownContainer" $root | nindent 10 }}
          resources:
            requests: {cpu: 50m, memory: 128Mi}
            limits: {memory: 512Mi}
          volumeMounts:
            {{- include "longshore.tmpMount" $root | nindent 12 }}
{{- end -}}
