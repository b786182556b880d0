# The one image of API, controller, worker, migrations and the chart's hooks: `longshore <command>`.
#
#   docker build -t longshore:dev .
#
# Where an authority of your own signs the certificates of the package registry, give its file, which has to be there
# while npm runs: --build-arg NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt, with that folder mounted
# (buildah, podman: -v /etc/ssl/certs:/etc/ssl/certs:ro). With docker: --secret id=ca,src=FILE and
# --build-arg NODE_EXTRA_CA_CERTS=/run/secrets/ca. `make image` does it.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS build
ARG NODE_EXTRA_CA_CERTS
WORKDIR /build
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=ca npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY tsconfig.json tsconfig.build.json ./
COPY hack/copy-assets.ts hack/
COPY src src
RUN npm run build && find dist -name '*.d.ts' -delete

FROM ${BASE_IMAGE} AS packages
ARG NODE_EXTRA_CA_CERTS
WORKDIR /build
COPY package.json package-lock.json ./
# Left out: what is for those who develop, TypeScript sources (which Node.js does not run from here), and what packages
# bring for other run times and their own benchmarks.
RUN --mount=type=secret,id=ca npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
  && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' \
    -o -name '*.tsbuildinfo' -o -name '*.cc' -o -name '*.bare' -o -name '*.10k' -o -name '*.100k' \) -delete \
  && rm -rf node_modules/@types

FROM ${BASE_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Longshore" \
  org.opencontainers.image.description="Jobs over REST, by kubectl or by a schedule, none of them lost" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json LICENSE ./
COPY bin bin
COPY --from=packages /build/node_modules node_modules
COPY --from=build /build/dist dist
# `kubectl exec … -- longshore api-key create`. Nothing at run time needs npm, and what is not there cannot be attacked.
RUN chmod 755 bin/longshore.js \
  && ln -s /app/bin/longshore.js /usr/local/bin/longshore \
  && rm -rf /usr/local/lib/node_modules /opt/yarn* /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* \
  && install -d -o 1000 -g 1000 compile-cache
# The user `node` as a number: the kubelet cannot tell of a name that it is not root.
USER 1000:1000
# What V8 makes of the sources, so that a pod takes its first job sooner. Node.js keeps it for each user of its own: whoever
# runs this image as another one goes without. Pods cannot write to it.
ENV NODE_COMPILE_CACHE=/app/compile-cache
RUN node dist/cli/main.js --version && node --input-type=module --eval "for (const part of \
  ['worker/public', 'types/handlers', 'cli/process-commands', 'api/main', 'controller/main', 'bot/main']) \
  await import('/app/dist/' + part + '.js'); process.exit()"
EXPOSE 8080 8081 9091
STOPSIGNAL SIGTERM
# Node.js itself is process 1: the program has a handler for each signal from its first line on, and starts no others.
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["--help"]
