# The images of both programs, for those with a container engine:
#
#   docker build --target server --tag notice-server:0.1.0 .
#   docker build --target operator --tag notice-operator:0.1.0 .
#
# scripts/image packs the same files without an engine, and is what the tests look at. Each image is
# one static program from scratch: no shell, no libraries, nothing that runs as root. Public
# certificate authorities are in the program; SSL_CERT_FILE names others.

# The version of rust-toolchain.toml, and what links statically by itself.
FROM rust:1.95.0-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /source
COPY . .
# Its own toolchain goes before what rust-toolchain.toml would bring besides.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_INCREMENTAL=0 \
    RUSTFLAGS="-C strip=symbols --remap-path-prefix=/usr/local/cargo=/cargo --remap-path-prefix=/source=/notice"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release -p notice-server -p notice-operator \
 && mkdir -p /out/data && cp target/release/notice-server target/release/notice-operator /out/

FROM scratch AS server
COPY --from=build /out/notice-server /notice-server
COPY server/notice-server.container.toml /etc/notice/notice-server.toml
COPY LICENSE /LICENSE
COPY --from=build --chown=10001:10001 /out/data /var/lib/notice
ENV NOTICE_CONFIG=/etc/notice/notice-server.toml
EXPOSE 8080 9090
USER 10001:10001
ENTRYPOINT ["/notice-server"]

FROM scratch AS operator
COPY --from=build /out/notice-operator /notice-operator
COPY LICENSE /LICENSE
EXPOSE 8080
USER 10001:10001
ENTRYPOINT ["/notice-operator"]
CMD ["run"]
