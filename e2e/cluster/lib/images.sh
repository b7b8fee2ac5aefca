# shellcheck shell=bash
# Images made by hand, without a container engine, and given to the nodes. Only scripts/cluster sources
# this.
# shellcheck disable=SC2034,SC2154,SC2164 # names are shared with scripts/cluster, where -e is set

# pack NAME PROGRAM FILE HOW [SOURCE PATH]: a docker archive, FILE, of an image with that program at its
# root and, where it is linked to any, the libraries that it needs. HOW it runs is a part of the config's
# JSON. SOURCE is one more file for it, and PATH where it goes.
pack() {
  local name=$1 program=$2 file=$3 how=$4 folder layer
  folder=$(mktemp -d "$home/pack.XXXXXX")
  mkdir "$folder/layer"
  install -m 755 "$program" "$folder/layer/"
  strip --strip-debug "$folder/layer/$(basename "$program")"
  (($# == 4)) || install -D -m 644 "$5" "$folder/layer$6"
  while read -r layer; do
    install -D -m 755 "$layer" "$folder/layer$layer"
  done < <(libraries_of "$program")
  tar -C "$folder/layer" --sort=name --owner=0 --group=0 --mtime=@0 -cf "$folder/layer.tar" .
  layer=$(sha256sum "$folder/layer.tar" | cut -d' ' -f1)
  cat >"$folder/config.json" <<JSON
{"architecture":"$(architecture)","os":"linux","config":{$how,
"Entrypoint":["/$(basename "$program")"]},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" \
    >"$folder/manifest.json"
  tar -C "$folder" -cf "$file.part" manifest.json config.json layer.tar
  mv "$file.part" "$file"
  rm -rf "$folder"
}

# The shared libraries, the loader among them; none of a static program.
libraries_of() { { ldd "$1" 2>/dev/null || true; } | sed -nE 's#^.*[[:space:]](/[^ ]+) \(0x.*#\1#p' | sort -u; }

architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

# load_image FILE: into every node that runs.
load_image() {
  local number
  [[ -f $1 ]] || fail "there is no file $1"
  for number in "${nodes[@]}"; do
    runs "containerd-$number" || continue
    import_on "$number" "$(realpath "$1")"
  done
}

# import_on N FILE: its words count only when it fails.
import_on() {
  local said
  said=$(ctr_on "$1" images import "$2" 2>&1) || fail "node-$1 does not take $2: $said"
}

# load_pause N: what every pod of that node begins with.
load_pause() {
  local file=$state/pause.tar
  [[ -f $file ]] || pack "$pause_image" "$(home_of pause)/pause" "$file" '"User":"65535:65535"'
  import_on "$1" "$file"
}

# The product's images: those of a folder, a quick build, or the same as people get.
load_product() {
  local file files=()
  if [[ -n $images ]]; then
    files=("$images"/*.tar)
  elif [[ $quick == true ]]; then
    build_debug_images
    files=("$state"/notice-*.tar)
  else
    say "building the images as they are released: many minutes; --quick is faster"
    mapfile -t files < <("$root/scripts/image")
  fi
  for file in "${files[@]}"; do
    say "loading $(basename "$file")"
    (cd "$root" && load_image "$file")
  done
  name_images_again
}

# Another name for each, so that there is a version to update to.
name_images_again() {
  local number program
  for number in "${nodes[@]}"; do
    for program in notice-server notice-operator; do
      ctr_on "$number" images tag --force "docker.io/library/$program:$(version)" \
        "docker.io/library/$program:next" >/dev/null 2>&1
    done
  done
}

# Without optimising, and with the libraries of this machine: in a minute where a release takes many.
build_debug_images() {
  local target common='"User":"10001:10001"'
  target=$(debug_programs)
  pack "notice-server:$(version)" "$target/notice-server" "$state/notice-server.tar" \
    "$common"',"Env":["NOTICE_CONFIG=/etc/notice/notice-server.toml"]' \
    "$root/server/notice-server.container.toml" /etc/notice/notice-server.toml
  pack "notice-operator:$(version)" "$target/notice-operator" "$state/notice-operator.tar" \
    "$common"',"Cmd":["run"]'
}

# As in scripts/image, a folder with programs built before may be named.
debug_programs() {
  [[ -z ${NOTICE_IMAGE_PROGRAMS:-} ]] || { printf '%s\n' "$NOTICE_IMAGE_PROGRAMS"; return; }
  say "building notice-server and notice-operator without optimising"
  cd "$root"
  cargo build --locked -p notice-server -p notice-operator >&2
  printf '%s/debug\n' "$(cargo metadata --no-deps --locked --format-version 1 |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"
}

version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }
