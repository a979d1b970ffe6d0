#!/bin/sh
# Puts the parts of the action's image together in dist/, which the Dockerfile copies as it is.
#
#   dist.sh BINARY [CERTIFICATES]     BINARY is static; CERTIFICATES are what it trusts, this machine's by default
set -eu

binary=${1:?usage: dist.sh BINARY [CERTIFICATES]}
certificates=${2:-/etc/ssl/certs/ca-certificates.crt}

rm -rf dist
install -D "$binary" dist/skipper
# The step that cleans up starts by its own path. A link: a second copy would double the image.
ln -s skipper dist/skipper-post
install -D -m 644 "$certificates" dist/etc/ssl/certs/ca-certificates.crt
