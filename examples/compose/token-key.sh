# Makes the key that signs development tokens, unless it is there.
set -eu
[ -e /var/lib/postern/token.key ] || exec postern token --new-key /var/lib/postern/token.key
