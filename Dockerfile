# The action's image: the static binary under its two names and the certificates it trusts, nothing else.
# All of it is put into dist/ before:
#   cargo build --release --bin skipper
#   .github/scripts/dist.sh target/*/release/skipper
# No USER and no WORKDIR: GitHub's runner mounts folders that only root may write, and sets the working folder itself.
FROM scratch
# A static binary shows no scanner what it is made of: the context has the lock file for that.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true
COPY dist/ /
ENTRYPOINT ["/skipper"]
