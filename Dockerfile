# The action's image: the static binary and the certificates it trusts, nothing else. Both are put into dist/ before:
#   cargo build --release --bin skipper
#   install -D target/*/release/skipper dist/skipper
#   install -D -m 644 /etc/ssl/certs/ca-certificates.crt dist/ca-certificates.crt
# No USER and no WORKDIR: GitHub's runner mounts folders that only root may write, and sets the working folder itself.
FROM scratch
COPY dist/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY dist/skipper /skipper
ENTRYPOINT ["/skipper"]
