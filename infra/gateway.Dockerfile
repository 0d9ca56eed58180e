# The gateway (docs/aws.md): docker build --file infra/gateway.Dockerfile --tag sigillo-gateway .
FROM rust:1-bookworm AS build
WORKDIR /sigillo
COPY . .
RUN cargo build --release --locked --package sigillo --features aws

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir --mode=0700 /scratch \
    && chown 10001:10001 /scratch
COPY --from=build /sigillo/target/release/sigillo /usr/local/bin/sigillo
USER 10001
VOLUME /scratch
ENTRYPOINT ["/usr/local/bin/sigillo"]
CMD ["gateway", "--help"]
