#!/bin/sh
# Builds the API server of custom resources from Debian's packages of Kubernetes' Go libraries.
#
#     sudo sh build.sh FOLDER
#
# leaves FOLDER/crdserver and FOLDER/etcd, both static or nearly so. It needs root, mmdebstrap,
# 3 GB of disk and about ten minutes. The libraries are only in Debian's unstable suite, so they
# and the compiler go into a root of their own, which may be deleted afterwards.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$(mkdir -p -- "$1" && CDPATH='' cd -- "$1" && pwd)
root=$folder/root

if [ ! -x "$folder/etcd" ]; then
    mkdir -p "$folder/deb"
    (cd "$folder/deb" && apt-get download etcd-server && dpkg -x etcd-server_*.deb .)
    cp "$folder/deb/usr/bin/etcd" "$folder/etcd"
    rm -r "$folder/deb"
fi

if [ ! -e "$root/usr/bin/go" ]; then
    # A mirror that lags is still good enough to build from.
    mmdebstrap --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --include=golang-go,golang-k8s-apiextensions-apiserver-dev,ca-certificates sid "$root"
fi

mkdir -p "$root/root/go/src/crdserver"
cp "$here/main.go" "$root/root/go/src/crdserver/"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
# Before anybody deletes the root, which would else delete the devices of the machine.
trap 'umount "$root/dev" "$root/proc"' EXIT
chroot "$root" env HOME=/root GOPATH=/root/go:/usr/share/gocode GO111MODULE=off CGO_ENABLED=0 \
    GOPROXY=off GOTOOLCHAIN=local go build -ldflags '-s -w' -o /root/crdserver crdserver
mv "$root/root/crdserver" "$folder/crdserver"
echo "$folder/crdserver"
