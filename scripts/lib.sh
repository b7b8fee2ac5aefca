# shellcheck shell=bash
# What scripts/services and scripts/kubernetes have in common: building something once, and
# processes that outlive the script that started them. A script that sources this sets `home`, the
# folder of what it builds, and `state`, the folder of the set or plane at hand, and defines
# command_of_PART, which fills `command`, for each part that it launches.

home='' state=''
# Seconds to wait for a part before it is given up.
patience=${NOTICE_TEST_PATIENCE:-120}

say() { printf '%s\n' "$*" >&2; }
fail() { say "scripts/$(basename "$0"): $*"; exit 1; }

name_is() {
  [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]] || fail "'$1' is no name: use a-z, 0-9 and -"
}

# --- building, once -------------------------------------------------------------------------

# once NAME FOLDER COMMAND: the command fills FOLDER.part, which becomes FOLDER when it is whole.
# Two runs at once build it once: the second waits, and finds it there.
once() {
  local name=$1 folder=$2
  [[ ! -d $folder ]] || return 0
  mkdir -p "$home"
  exec 9>"$home/$name.lock"
  flock 9
  [[ -d $folder ]] || build "$folder" "$3"
  exec 9>&-
}

build() {
  local folder=$1 log=$1.log begin=$SECONDS status
  say "building $(basename "$folder"), once; log: $log"
  rm -rf --one-file-system "$folder.part"
  mkdir "$folder.part"
  # In a condition, bash would go on behind a failed step.
  set +e
  (
    set -ex
    "$2" "$folder.part"
  ) 9>&- >"$log" 2>&1 </dev/null
  status=$?
  set -e
  ((status == 0)) || { tail -n 30 "$log" >&2; fail "$(basename "$folder") could not be built"; }
  mv "$folder.part" "$folder"
  say "built $(basename "$folder") in $((SECONDS - begin)) s"
}

short_sum() { sha256sum | cut -c1-12; }

# --- ports ----------------------------------------------------------------------------------

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports FIRST STEP COUNT TAKEN: the first of COUNT ports that nobody listens on, in steps from
# FIRST on; TAKEN lists first ports that others have, running or not.
free_ports() {
  local first=$1 step=$2 count=$3 taken=$4 place port n
  for ((place = 0; place < 400; place++)); do
    port=$((first + place * step))
    ! grep -qx "$port" <<<"$taken" || continue
    for ((n = 0; n < count; n++)); do ! listens $((port + n)) || continue 2; done
    printf '%s\n' "$port"
    return
  done
  fail "no port is free from $first on"
}

port() {
  local name=port_of_${1//-/_}
  printf '%s\n' "${!name}"
}

# --- parts and their processes --------------------------------------------------------------

# What outlives this script must hold nothing of it: neither locks nor pipes nor its terminal.
launch() {
  local command started fd
  "command_of_${1//-/_}"
  (
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd < 3)) || eval "exec $fd>&-"
    done
    cd "$state"
    exec setsid "${command[@]}"
  ) </dev/null >>"$state/$1.log" 2>&1 &
  started=$!
  disown
  printf '%s %s\n' "$started" "$(born "$started")" >"$state/$1.pid"
}

# soon PART COMMAND...: waits until it succeeds, and gives up when the part ends.
soon() {
  local part=$1 deadline=$((SECONDS + patience))
  shift
  until "$@"; do
    if ! runs "$part" || ((SECONDS > deadline)); then
      tail -n 20 "$state/$part.log" >&2
      fail "$part does not answer on port $(port "$part"); log: $state/$part.log"
    fi
    sleep 0.05
  done
}

pid() { cut -d' ' -f1 "$state/$1.pid" 2>/dev/null || echo 0; }

# A number is used again some day: the process is ours only if it was born then.
runs() {
  local number birth
  read -r number birth 2>/dev/null <"$state/$1.pid" || return 1
  [[ $(born "$number") == "$birth" && $(stat_of "$number" 1) != Z ]]
}

halted() { runs "$1" && [[ $(stat_of "$(pid "$1")" 1) == T ]]; }

# How a part is, in words; fails unless it runs.
state_of() {
  local word=running
  ! halted "$1" || word=halted
  runs "$1" || { echo 'not running'; return 1; }
  printf '%s, pid %s\n' "$word" "$(pid "$1")"
}

born() { stat_of "$1" 20; }

# stat_of PID FIELD: of /proc/PID/stat, counted from behind the name; nothing if there is none.
stat_of() {
  local line fields
  read -r line 2>/dev/null <"/proc/$1/stat" || return 0
  read -ra fields <<<"${line##*) }"
  printf '%s\n' "${fields[$2 - 1]}"
}

send() {
  local signal=$1
  shift
  kill -s "$signal" "$@" 2>/dev/null || true
}

await_end() {
  local deadline=$((SECONDS + patience)) number word
  for number in "$@"; do
    until word=$(stat_of "$number" 1) && [[ -z $word || $word == Z ]]; do
      ((SECONDS <= deadline)) || fail "process $number does not end"
      sleep 0.02
    done
  done
}
