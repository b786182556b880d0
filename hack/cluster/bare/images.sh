# shellcheck shell=bash
# Sourced: images without a registry. The base images take the place of the official ones and behave like them.

has_image() { [ -n "$(node_ctr images ls -q "name==$1")" ]; }

load_images() {
  local file
  for file in "$@"; do node_ctr images import "$file" >/dev/null; done
}

# keep CONTAINER IMAGE: a working container becomes an image that both buildah and the node have.
keep() {
  local archive=$home/image.tar
  buildah commit -q --rm "$1" "$2" >/dev/null
  rm -f "$archive"
  buildah push -q "$2" "docker-archive:$archive:$2"
  load_images "$archive"
  rm -f "$archive"
}

# program_image IMAGE PROGRAM: an image with one file in it.
program_image() {
  local container
  has_image "$1" && return 0
  container=$(buildah from scratch)
  buildah copy -q "$container" "$2" "/${2##*/}" >/dev/null
  buildah config --user 65532:65532 --entrypoint "[\"/${2##*/}\"]" "$container"
  keep "$container" "$1"
}

ensure_pause_image() {
  has_image localhost/pause:1 && return 0
  if [ ! -x "$bin/pause" ]; then
    need_go pause
    (cd "$sources/images/pause" && CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' -o "$bin/pause" .)
  fi
  program_image localhost/pause:1 "$bin/pause"
}

ensure_base_images() {
  has_image localhost/node:24 || progress "Making localhost/node:24 of Debian and Node.js" \
    debian_image localhost/node:24 ca-certificates,libstdc++6,tini finish_node
  has_image localhost/redis:7 || progress "Making localhost/redis:7 of Debian" \
    debian_image localhost/redis:7 redis-server finish_redis
  has_image localhost/postgres:15 || progress "Making localhost/postgres:15 of Debian" \
    debian_image localhost/postgres:15 postgresql,locales finish_postgres
}

# debian_image IMAGE PACKAGES FINISH
debian_image() {
  local archive=$home/debian.tar container
  rm -f "$archive"
  mmdebstrap --quiet --variant=minbase --include="$2" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$archive"
  container=$(buildah from scratch)
  buildah add -q "$container" "$archive" / >/dev/null
  rm -f "$archive"
  "$3" "$container"
  keep "$container" "$1"
}

finish_node() {
  local folder machine
  case $(uname -m) in aarch64) machine=arm64 ;; *) machine=x64 ;; esac
  folder=$(mktemp -d)
  (
    cd "$folder"
    npm pack --silent "node-linux-$machine@24" npm@11
    for archive in *.tgz; do mkdir "${archive%.tgz}" && tar xzf "$archive" -C "${archive%.tgz}"; done
  )
  buildah copy -q --chmod 755 "$1" "$folder"/node-linux-*/package/bin/node /usr/local/bin/node
  buildah copy -q "$1" "$folder"/npm-[0-9]*/package /usr/local/lib/node_modules/npm
  rm -rf "$folder"
  buildah run --network host "$1" -- sh -euc 'for name in npm npx; do
      ln -s "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"
    done
    groupadd -g 1000 node
    useradd -u 1000 -g node -m node'
  buildah config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin --cmd node "$1"
}

# The official images run as 999, which is what security contexts are written for.
finish_redis() {
  buildah run --network host "$1" -- sh -euc 'groupmod -g 999 redis; usermod -u 999 redis; install -d -o redis -g redis /data'
  buildah copy -q --chmod 755 "$1" "$sources/images/redis-entrypoint" /usr/local/bin/entrypoint
  buildah config --user 999:999 --workingdir /data --port 6379 \
    --entrypoint '["/usr/local/bin/entrypoint"]' --cmd redis-server "$1"
}

finish_postgres() {
  buildah run --network host "$1" -- sh -euc 'groupmod -g 999 postgres; usermod -u 999 postgres; localedef -i en_US -f UTF-8 en_US.UTF-8
    rm -rf /var/lib/postgresql/*
    install -d -o postgres -g postgres /var/lib/postgresql /var/lib/postgresql/data /var/run/postgresql'
  buildah copy -q --chmod 755 "$1" "$sources/images/postgres-entrypoint" /usr/local/bin/entrypoint
  buildah config --user 999:999 --env PGDATA=/var/lib/postgresql/data --env LANG=en_US.utf8 --port 5432 \
    --env PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin \
    --entrypoint '["/usr/local/bin/entrypoint"]' --cmd postgres "$1"
}
