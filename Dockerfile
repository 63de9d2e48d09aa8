# The program as an image: `docker build -t postern .`, then `docker run --rm postern --help`.
#
# Node's own slim image, and on top the compiled program with its production dependencies: no package manager of ours,
# no TypeScript, no second Node. It runs as uid 1337, which istio-iptables leaves alone, needs no capability and writes
# nothing to its root file system.
#
#   /etc/postern       configuration, to be mounted read-only
#   /run/postern       sockets and tokens
#   /var/lib/postern   the folder of a CA

# What runs: without the Node binaries for machines whose own Node is too old, since the base image has the right one.
FROM node:26-bookworm-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev --omit=optional

FROM node:26-bookworm-slim AS build
WORKDIR /build
# Before the source: these layers are made anew only when packages change. None of them needs an install script.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM node:26-bookworm-slim
# Volumes that are mounted on these two folders take their owner and mode over.
RUN install -d -o 1337 -g 1337 -m 0700 /run/postern /var/lib/postern \
 && install -d /etc/postern \
 && ln -s /usr/local/lib/postern/src/launcher.js /usr/local/bin/postern
COPY --from=dependencies /build/node_modules /usr/local/lib/postern/node_modules
COPY --from=build /build/dist /usr/local/lib/postern/dist
COPY package.json LICENSE /usr/local/lib/postern/
COPY src/launcher.js /usr/local/lib/postern/src/
ENV NODE_ENV=production
WORKDIR /etc/postern
# A number: a runtime that insists on non-root cannot look up a name.
USER 1337:1337
# For `proxy`, whose readiness is on this port by default; `ca` and `agent` want another --url.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["postern", "wait", "--timeout", "2s"]
ENTRYPOINT ["postern"]
CMD ["--help"]
