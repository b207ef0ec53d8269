# shellcheck shell=bash
# What a package installs, and where: sourced by scripts/package.sh.

# lay_out FLAVOUR ROOT BINARY GENERATOR NOTICES: the tree of a deb or an rpm, every file with the same date. GENERATOR is the
# same program for this machine: it writes man pages, completions and the first configuration. NOTICES are the licences of
# the libraries in the binary.
lay_out() {
  local flavour=$1 root=$2 binary=$3 generator=$4 notices=$5 doc=$2/usr/share/doc/batch-node-agent
  install -D -m 755 "$binary" "$root/usr/bin/batch-node-agent"
  lay_out_units "$root"
  install -d -m 755 "$root/etc/batch-node-agent" "$doc"
  # It may come to hold passwords of proxies and registries.
  "$generator" config --example >"$root/etc/batch-node-agent/config.toml"
  chmod 640 "$root/etc/batch-node-agent/config.toml"
  "$generator" generate man "$root/usr/share/man/man1"
  gzip -9n "$root"/usr/share/man/man1/*.1
  lay_out_completions "$flavour" "$root/usr/share" "$generator"
  install -m 644 README.md CHANGELOG.md docs/*.md "$doc/"
  gzip -9nc "$notices" >"$doc/licences-of-libraries.gz"
  if [ "$flavour" = deb ]; then
    install -m 644 packaging/deb/copyright "$doc/copyright"
  else
    install -D -m 644 LICENSE "$root/usr/share/licenses/batch-node-agent/LICENSE"
    install -D -m 644 packaging/rpm/batch-node-agent.preset "$root/usr/lib/systemd/system-preset/80-batch-node-agent.preset"
  fi
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

lay_out_units() {
  local root=$1 unit
  for unit in systemd/*.{service,path,slice,socket,timer,target}; do
    [ ! -f "$unit" ] || install -D -m 644 "$unit" "$root/usr/lib/systemd/system/${unit##*/}"
  done
  install -D -m 644 systemd/batch-node-agent.sysusers "$root/usr/lib/sysusers.d/batch-node-agent.conf"
  install -D -m 644 systemd/batch-node-agent.tmpfiles "$root/usr/lib/tmpfiles.d/batch-node-agent.conf"
}

lay_out_completions() {
  local flavour=$1 share=$2 generator=$3 zsh=zsh/site-functions
  [ "$flavour" = rpm ] || zsh=zsh/vendor-completions
  "$generator" generate completions bash "$share/bash-completion/completions"
  "$generator" generate completions zsh "$share/$zsh"
  "$generator" generate completions fish "$share/fish/vendor_completions.d"
}

# The units that are enabled: those with something to enable, the agent's own last, so that it is the first to be stopped.
enabled_units() {
  grep -l '^\[Install\]' systemd/*.{path,service,socket,timer} 2>/dev/null | sed 's|.*/||' |
    awk '$0 != "batch-node-agent.service"' | tr '\n' ' '
  printf 'batch-node-agent.service'
}
