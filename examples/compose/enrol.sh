# Gives a workload what an orchestrator would give it: the public root, and a token that says who it is.
# usage: enrol.sh NAMESPACE SERVICE_ACCOUNT
set -eu
umask 077
ca=/var/lib/postern
own=/run/postern
postern token --namespace "$1" --service-account "$2" --key "$ca/token.key" --ttl 168h >"$own/token.new"
cp "$ca/root-cert.pem" "$own/root-cert.pem.new"
# Renamed, since an agent that is running must never see half a file.
mv "$own/token.new" "$own/token"
mv "$own/root-cert.pem.new" "$own/root-cert.pem"
