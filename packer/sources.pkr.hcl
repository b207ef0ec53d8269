locals {
  stamp = formatdate("YYYYMMDD-hhmm", timestamp())
  # Debian and Ubuntu name their architectures in their own way.
  deb_arch = var.architecture == "arm64" ? "arm64" : "amd64"
  variant  = var.gpu ? "gpu-${var.architecture}" : var.architecture
  tags     = merge({ built-by = "batch-node-agent/packer", base = "{{ .SourceAMIName }}" }, var.tags)
}

# What the AMIs have in common; each system adds the rest in build.pkr.hcl.
source "amazon-ebs" "host" {
  region               = var.region
  instance_type        = var.instance_type
  subnet_id            = var.subnet_id
  iam_instance_profile = var.iam_instance_profile
  encrypt_boot         = var.encrypt
  tags                 = local.tags
  snapshot_tags        = local.tags
  run_tags             = local.tags
  run_volume_tags      = local.tags
  # packer 1.7 and newer: begin
  # The systems of today accept no RSA key that is signed with SHA-1, which is Packer's default.
  temporary_key_pair_type = "ed25519"
  # Instances of the AMI get IMDSv2 alone, unless their launch template says otherwise.
  imds_support = "v2.0"
  # For the machine that the AMI is built on.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # packer 1.7 and newer: end
}

# The very same provisioning in a container with systemd, with no AWS: what the tests build and boot.
source "docker" "host" {
  image  = var.docker_image
  pull   = false
  commit = true
  run_command = concat([
    "--detach", "--stop-signal", "SIGRTMIN+3", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--cgroupns", "private", "--tmpfs", "/run:exec", "--tmpfs", "/run/lock",
  ], var.docker_run, ["{{ .Image }}"])
}
