# shellcheck shell=bash
# Sourced: programs in the background, each with a log under $logs and its process id under $run.

# is_running NAME: the id may be an old one that stands for another process by now.
is_running() {
  local pid argv0=''
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  { IFS= read -r -d '' argv0 <"/proc/$pid/cmdline"; } 2>/dev/null || return 1
  [ "${argv0##*/}" = "$1" ]
}

# start NAME ARGUMENT...: does nothing when it runs; keeps the command for `start_again`.
start() {
  local name=$1 program
  program=$(type -P "$name") || die "$name is missing"
  shift
  is_running "$name" && return 0
  printf '%s\0' "$program" "$@" >"$run/$name.command"
  start_again "$name"
}

start_again() {
  local command
  mapfile -d '' command <"$run/$1.command"
  setsid nohup "${command[@]}" >>"$logs/$1.log" 2>&1 </dev/null &
  echo $! >"$run/$1.pid"
}

# stop NAME...: SIGTERM, then SIGKILL to what is left after 10 s.
stop() {
  local name deadline=$((SECONDS + 10))
  for name in "$@"; do is_running "$name" && kill "$(cat "$run/$name.pid")"; done
  for name in "$@"; do
    while is_running "$name"; do
      ((SECONDS < deadline)) || kill -9 "$(cat "$run/$name.pid")" 2>/dev/null || true
      sleep 0.1
    done
    rm -f "$run/$name.pid" "$run/$name.command"
  done
}

# wait_for SECONDS NAME COMMAND...: until the command succeeds; NAME is a program, whose log is shown if it does not.
wait_for() {
  local deadline=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      tail -n 20 "$logs/$name.log" >&2 2>/dev/null || true
      die "$name is not ready; its log is $logs/$name.log"
    fi
    sleep 0.2
  done
}
