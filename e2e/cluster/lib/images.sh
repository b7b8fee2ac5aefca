# shellcheck shell=bash
# Images made by hand, without a container engine, and given to the nodes. Only scripts/cluster sources
# this.
# shellcheck disable=SC2154 # scripts/cluster says where things are

# pack NAME USER PROGRAM FILE [LIBRARIES]: a docker archive, FILE, of an image with that program and,
# where it is linked to any, the libraries that it needs.
pack() {
  local name=$1 user=$2 program=$3 file=$4 folder layer config
  folder=$(mktemp -d "$home/pack.XXXXXX")
  mkdir -p "$folder/layer/usr/local/bin" "$folder/layer/tmp"
  chmod 1777 "$folder/layer/tmp"
  cp --dereference "$program" "$folder/layer/usr/local/bin/"
  libraries_of "$program" | while read -r layer; do
    install -D "$layer" "$folder/layer$layer"
  done
  tar -C "$folder/layer" --sort=name --owner=0 --group=0 --mtime=@0 -cf "$folder/layer.tar" .
  layer=$(sha256sum "$folder/layer.tar" | cut -d' ' -f1)
  config='{"architecture":"'$(architecture)'","os":"linux","config":{"User":"'$user'",'
  config+='"Entrypoint":["/usr/local/bin/'$(basename "$program")'"]},'
  config+='"rootfs":{"type":"layers","diff_ids":["sha256:'$layer'"]}}'
  printf '%s' "$config" >"$folder/config.json"
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
    ctr_on "$number" images import "$(realpath "$1")" >/dev/null
  done
}

load_pause() {
  pack "$pause_image" 65535 "$(home_of pause)/pause" "$state/pause.tar"
  local number
  for number in "$@"; do ctr_on "$number" images import "$state/pause.tar" >/dev/null; done
}

# The product's images: those of a folder, a quick build, or the same as people get.
load_product() {
  local file
  if [[ -n $images ]]; then
    for file in "$images"/*.tar; do
      say "loading $file"
      load_image "$file"
    done
  elif [[ $quick == true ]]; then
    load_debug_builds
  else
    load_release_images
  fi
}

# A debug build starts in a minute where a release takes many.
load_debug_builds() {
  local program target
  target=$(cd "$root" && cargo metadata --no-deps --locked --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  say "building notice-server and notice-operator without optimising"
  (cd "$root" && cargo build --locked -p notice-server -p notice-operator >&2)
  for program in notice-server notice-operator; do
    pack "localhost/$program:lab" 10001 "$target/debug/$program" "$state/$program.tar"
    load_image "$state/$program.tar"
  done
}

load_release_images() {
  [[ -x $root/scripts/image ]] || fail "scripts/image is missing: use --quick or --images FOLDER"
  say "building the images as they are released: many minutes; --quick is faster"
  (cd "$root" && scripts/image --output "$state/images" --tag lab)
  local file
  for file in "$state"/images/*.tar; do load_image "$file"; done
}
