# shellcheck shell=bash
# The product in the cluster, installed as a person would: the operator and a NoticeCluster, by Helm.
# Ends with the way to the chat page. Only scripts/cluster sources this.
# shellcheck disable=SC2034,SC2154 # names are shared with scripts/cluster, where -e is set

install_product() {
  say "installing the operator"
  helm_quietly notice-operator --namespace notice-system "$root/charts/notice-operator"
  say "installing the NoticeCluster rides"
  as_admin create namespace "$namespace" --dry-run=client -o yaml | as_admin apply -f - >/dev/null
  make_secrets
  helm_quietly rides --namespace "$namespace" "$root/charts/notice-cluster" \
    --set operator.namespace=notice-system --values "$root/e2e/cluster/manifests/rides.yaml"
  as_admin -n "$namespace" wait --for=condition=Ready --timeout=180s noticecluster/rides >/dev/null ||
    { as_admin -n "$namespace" describe noticecluster rides >&2; fail "rides does not become Ready"; }
  soon traefik chat_page_answers
  tell_what_next
}

# helm_quietly RELEASE ARGUMENT...
helm_quietly() {
  local release=$1
  shift
  KUBECONFIG=$state/admin.kubeconfig "$("$root/scripts/tool" helm)" upgrade --install "$release" "$@" \
    --create-namespace --wait --timeout 3m >/dev/null
}

# The API key is made once and stays.
make_secrets() {
  local uri=mongodb://mongodb.backing.svc.cluster.local:27017/
  secret rides-mongo uri "$uri"
  secret rides-redis uri redis://redis.backing.svc.cluster.local:6379
  as_admin -n "$namespace" get secret rides-keys >/dev/null 2>&1 ||
    secret rides-keys keys "demo:$(openssl rand -hex 24)"
}

# secret NAME KEY VALUE: the value does not pass through a process list.
secret() {
  as_admin -n "$namespace" create secret generic "$1" --from-file="$2=/dev/stdin" \
    --dry-run=client -o yaml < <(printf '%s' "$3") | as_admin apply -f - >/dev/null
}

chat_page_answers() { on_plane bash -c "$ask_for_chat_page" sh "$address_of_plane"; }
# shellcheck disable=SC2016 # for the inner shell
ask_for_chat_page='exec 3<>"/dev/tcp/$1/80" &&
  printf "GET /notice/ HTTP/1.0\r\nHost: $1\r\n\r\n" >&3 && grep -q "^HTTP/1.. 200" <&3'

tell_what_next() {
  cat <<TEXT

The chat page: http://$address_of_plane/notice/

It asks for a session token, which a service makes. Links for two people:

  scripts/cluster links alice bob

Then try

  scripts/cluster kubectl -n $namespace get noticecluster rides --watch
  scripts/cluster kubectl -n $namespace scale noticecluster rides --replicas 3
  scripts/cluster kubectl drain node-2 --ignore-daemonsets
  scripts/cluster kill-node 2
  Prometheus: http://$address_of_plane:9090

and look at the chat meanwhile. scripts/cluster down ends it all.
TEXT
}

# Links to chats, with a token for each person. The key goes from Secret to request unseen.
run_links() {
  local account peer
  (($# == 2)) || { usage >&2; exit 2; }
  open_cluster
  for account in "$@"; do
    peer=$1
    [[ $account != "$1" ]] || peer=$2
    printf 'http://%s/notice/#token=%s&peer=%s\n' "$address_of_plane" "$(token_for "$account")" "$peer"
  done
}

token_for() {
  local key address body="{\"accountId\":\"$1\",\"ttlSeconds\":86400}"
  [[ $1 =~ ^[A-Za-z0-9._-]+$ ]] || fail "'$1' is no account: use letters, digits, '.', '_' and '-'"
  key=$(as_admin -n "$namespace" get secret rides-keys -o 'jsonpath={.data.keys}' | base64 -d)
  address=$(as_admin -n "$namespace" get service rides -o 'jsonpath={.spec.clusterIP}')
  # shellcheck disable=SC2016 # for the inner shell
  on_plane bash -c 'exec 3<>"/dev/tcp/$1/80" && cat >&3 && cat <&3' sh "$address" <<TEXT |
POST /notice/sessions HTTP/1.0
Host: $address
Authorization: Bearer ${key#*:}
Content-Type: application/json
Content-Length: ${#body}

$body
TEXT
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p'
}
