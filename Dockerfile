# syntax=docker/dockerfile:1
FROM node:26-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
# Scripts stay off: the only package that has one brings a Node of its own, which this image already has.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json \
    && chmod 0755 dist/main.js \
    && npm prune --omit=dev --ignore-scripts

FROM node:26-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
COPY package.json LICENSE ./
# For `docker exec … postern token create`: its first line names node, and modules are looked for where the link leads.
RUN ln -s /app/dist/main.js /usr/local/bin/postern
# The one folder that is written to; everything else works on a read-only root.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/postern
VOLUME /var/lib/postern
ENV POSTERN_STORE_URL=/var/lib/postern
USER 65532:65532
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "/app/dist/main.js", "healthcheck"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]
