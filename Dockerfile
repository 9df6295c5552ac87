# One image with every program of longhaul; docker-compose.yml chooses.
FROM debian:12 AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends build-essential pkg-config libevent-dev \
        libhiredis-dev libcurl4-openssl-dev libjansson-dev libsqlite3-dev \
        uuid-dev libzstd-dev libinih-dev libssl-dev libmimalloc-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" all && make install DESTDIR=/image PREFIX=/usr/local

FROM debian:12-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends ca-certificates libevent-core-2.1-7 \
        libhiredis0.14 libcurl4 libjansson4 libsqlite3-0 libuuid1 libzstd1 \
        libinih1 libssl3 libmimalloc2.0 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 longhaul \
    && useradd --uid 10001 --gid 10001 --no-create-home \
        --home-dir /nonexistent --shell /usr/sbin/nologin longhaul \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/longhaul
COPY --from=build /image/usr/local/bin/ /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/longhaul
# A new volume mounted here takes over owner and mode.
VOLUME /var/lib/longhaul
CMD ["longhaul", "version"]
