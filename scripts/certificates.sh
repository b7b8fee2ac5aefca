# shellcheck shell=bash
# Certificates of test clusters, made with openssl in the folder `certificates` of the working
# directory, and kubeconfigs that carry them. scripts/kubernetes and scripts/cluster source this.

authority() {
  request "$1" "/CN=$2" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -addext subjectKeyIdentifier=hash
}

# certificate AUTHORITY NAME SUBJECT USAGE [NAMES]
certificate() {
  local names=()
  [[ -z ${5:-} ]] || names=(-addext "subjectAltName=$5")
  request "$2" "$3" -CA "certificates/$1.crt" -CAkey "certificates/$1.key" "${names[@]}" \
    -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
    -addext "extendedKeyUsage=$4" -addext subjectKeyIdentifier=hash \
    -addext authorityKeyIdentifier=keyid
}

# The configuration is ours, since the machine's adds extensions that we don't want.
request() {
  local name=$1 subject=$2
  shift 2
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n') -subj "$subject" \
    -keyout "certificates/$name.key" -out "certificates/$name.crt" "$@"
}

# kubeconfig NAME SERVER CONTEXT: of whom the certificate NAME is for.
kubeconfig() {
  cat <<TEXT
apiVersion: v1
kind: Config
current-context: $3
clusters:
- name: $3
  cluster: {server: "$2", certificate-authority-data: $(base64 -w0 certificates/ca.crt)}
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "certificates/$1.crt")
    client-key-data: $(base64 -w0 "certificates/$1.key")
contexts:
- name: $3
  context: {cluster: $3, user: $1}
TEXT
}
