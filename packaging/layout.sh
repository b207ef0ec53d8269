# shellcheck shell=bash
# What a package installs, and where: sourced by scripts/package.sh, the same for .deb and .rpm.

# lay_out ROOT BINARY: the tree of the package.
lay_out() {
  local root=$1 binary=$2 unit shell
  install -D -m 755 "$binary" "$root/usr/bin/batch-node-agent"
  strip --strip-unneeded "$root/usr/bin/batch-node-agent"
  for unit in systemd/*.service systemd/*.path systemd/*.slice; do
    install -D -m 644 "$unit" "$root/usr/lib/systemd/system/${unit##*/}"
  done
  install -D -m 644 systemd/batch-node-agent.sysusers "$root/usr/lib/sysusers.d/batch-node-agent.conf"
  install -D -m 644 systemd/batch-node-agent.tmpfiles "$root/usr/lib/tmpfiles.d/batch-node-agent.conf"
  install -d -m 755 "$root/etc/batch-node-agent"
  "$binary" config --example >"$root/etc/batch-node-agent/config.toml"
  chmod 644 "$root/etc/batch-node-agent/config.toml"
  "$binary" generate man "$root/usr/share/man/man1"
  gzip -9n "$root"/usr/share/man/man1/*.1
  for shell in bash zsh fish; do
    "$binary" generate completions "$shell" "$(completion_dir "$root" "$shell")"
  done
  install -D -m 644 LICENSE "$root/usr/share/doc/batch-node-agent/copyright"
  install -m 644 README.md CHANGELOG.md docs/*.md "$root/usr/share/doc/batch-node-agent/"
}

completion_dir() {
  local dir
  case "$2" in
    bash) dir=$1/usr/share/bash-completion/completions ;;
    zsh) dir=$1/usr/share/zsh/vendor-completions ;;
    fish) dir=$1/usr/share/fish/vendor_completions.d ;;
  esac
  install -d -m 755 "$dir"
  printf '%s\n' "$dir"
}
