#!/usr/bin/env bash
# Makes this machine a node of a Ray cluster for autotuner: a user, two Python environments, a token,
# a systemd unit. As root, from a checkout of the repository. Run again, it updates what it installed
# and starts Ray anew, which ends what is being measured.
#
#   cluster/bare-metal/install.sh head NODE_IP
#   cluster/bare-metal/install.sh worker NODE_IP HEAD_IP     # the head's token file comes first
set -euo pipefail

RAY_VERSION=2.60.0
GENAI_BENCH_VERSION=0.0.5
PYTHON=${PYTHON:-python3}

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 1
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

environment() { # FOLDER PACKAGE...
    local folder=$1
    shift
    [ -x "$folder/bin/python" ] || "$PYTHON" -m venv "$folder"
    "$folder/bin/python" -m pip --disable-pip-version-check install --quiet "$@"
}

role=${1:-}
node_ip=${2:-}
case $role in
    head) head_ip=$node_ip ;;
    worker) head_ip=${3:-} ;;
    *) usage ;;
esac
if [ -z "$node_ip" ] || [ -z "$head_ip" ]; then usage; fi
[ "$(id -u)" = 0 ] || fail "only root may install units and users"
"$PYTHON" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is older than 3.11 or has no venv (Debian, Ubuntu: apt-get install python3-venv)"
here=$(cd "$(dirname "$0")" && pwd)

if ! id autotuner >/dev/null 2>&1; then
    useradd --system --user-group --create-home --home-dir /var/lib/autotuner \
        --shell /usr/sbin/nologin autotuner
fi
# The devices of GPUs belong to these, where not to everybody.
for group in video render; do
    if getent group "$group" >/dev/null; then usermod --append --groups "$group" autotuner; fi
done

# An environment runs the Python that it was made with, which may lie where only root looks.
runuser --user autotuner -- "$(command -v "$PYTHON")" -c "" ||
    fail "the user autotuner may not run $(command -v "$PYTHON"): name another with PYTHON=..."

install --directory --mode 0755 /etc/autotuner /etc/autotuner/studies
if [ ! -s /etc/autotuner/token ]; then
    [ "$role" = head ] ||
        fail "copy /etc/autotuner/token from the head first: sudo scp -p HEAD:/etc/autotuner/token /etc/autotuner/"
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >/etc/autotuner/token)
fi
chown autotuner:autotuner /etc/autotuner/token
chmod 0600 /etc/autotuner/token
if [ -e /etc/autotuner/ray.env ]; then
    echo "install.sh: /etc/autotuner/ray.env stays as it is"
else
    sed -e "s/^NODE_IP=.*/NODE_IP=$node_ip/" -e "s/^HEAD_IP=.*/HEAD_IP=$head_ip/" \
        "$here/ray.env" >/etc/autotuner/ray.env
fi

# Where autotuner and Ray's own commands look for it.
install --directory --mode 0700 --owner autotuner --group autotuner /var/lib/autotuner/.ray
ln -sfn /etc/autotuner/token /var/lib/autotuner/.ray/auth_token

environment /opt/autotuner "ray[default]==$RAY_VERSION" "$here/../.."
environment /opt/genai-bench "genai-bench==$GENAI_BENCH_VERSION"

install --mode 0644 "$here/ray-$role.service" /etc/systemd/system/
if [ "$role" = head ]; then
    install --mode 0644 "$here/autotuner-study@.service" /etc/systemd/system/
fi
systemctl daemon-reload
systemctl enable "ray-$role.service"
systemctl restart "ray-$role.service"
echo "ray-$role.service runs; see systemctl status ray-$role"
