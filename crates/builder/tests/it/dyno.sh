# Makes a build dyno out of a stack and runs the builder in it: an overlay over the stack, unprivileged user 1000,
# namespaces of its own. Runs as root inside `unshare --mount --pid`. Arguments: overlay folder, lower layers
# (colon-separated, highest first), builder, request, source, folder of cached layers (or -).
set -eu
work=$1 lower=$2 builder=$3 request=$4 source=$5 layers=$6
root=$work/root
mkdir -p "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" "$root"
cd "$root"
mkdir -p app out run/renga renga layers tmp
mount -t proc proc proc
mount -t tmpfs tmpfs run/renga
mount --rbind /dev dev
cat /etc/resolv.conf > etc/resolv.conf
cat /etc/hosts > etc/hosts
if [ -n "${SSL_CERT_FILE:-}" ]; then
  mkdir -p "$(dirname ".$SSL_CERT_FILE")"
  cat "$SSL_CERT_FILE" > ".$SSL_CERT_FILE"
fi
cp "$builder" renga/build
cp "$request" run/renga/build.json
cp "$source" run/renga/source.tar
[ "$layers" = - ] || mount --bind "$layers" layers
chown 1000:1000 app out run/renga run/renga/*
chmod 1777 tmp
exec setpriv --no-new-privs chroot --userspec=1000:1000 --groups= . /renga/build
