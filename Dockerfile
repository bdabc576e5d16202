# `vestibule serve` in an image: docker build -t vestibule . && docker run -p 3210:3210 -p 3211:3211 -v vestibule:/data vestibule
#
# The first start says how to make an admin key: docker exec CONTAINER vestibule admin-key

FROM rust:1.91-slim-bookworm AS build
# cmake and a C compiler for the TLS library, libclang for the bindings of the JavaScript engine.
RUN apt-get update \
    && apt-get install --no-install-recommends -y clang cmake g++ libclang-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --profile dist --locked -p vestibule-server --bin vestibule \
    && cp target/dist/vestibule /usr/local/bin/vestibule

FROM debian:bookworm-slim
# Certificates for issuers and for `fetch`; curl for the health check.
RUN apt-get update \
    && apt-get install --no-install-recommends -y ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin vestibule \
    && install --directory --owner vestibule --group vestibule --mode 0700 /data
# For actions in files with "use node", and npm for the packages that they name.
COPY --from=node:22-bookworm-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=node:22-bookworm-slim /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
COPY --from=build /usr/local/bin/vestibule /usr/local/bin/vestibule
USER vestibule
VOLUME /data
ENV VESTIBULE_DATA=/data \
    VESTIBULE_LISTEN=0.0.0.0:3210 \
    VESTIBULE_SITE_LISTEN=0.0.0.0:3211 \
    VESTIBULE_LOG_FORMAT=json
EXPOSE 3210 3211
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["curl", "--fail", "--silent", "http://127.0.0.1:3210/readyz"]
ENTRYPOINT ["vestibule"]
CMD ["serve"]
