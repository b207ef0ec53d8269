locals {
  stamp = formatdate("YYYYMMDD-hhmm", timestamp())
  # Debian and Ubuntu name their architectures in their own way.
  deb_arch = var.architecture == "arm64" ? "arm64" : "amd64"
}

source "amazon-ebs" "al2023" {
  ami_name      = "${var.ami_prefix}-al2023-${var.architecture}-${local.stamp}"
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = "ec2-user"
  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*-kernel-6.1-${var.architecture}"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.volume_gib
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }
  # packer 1.7 and newer: begin
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # packer 1.7 and newer: end
}

source "amazon-ebs" "debian" {
  ami_name      = "${var.ami_prefix}-debian12-${var.architecture}-${local.stamp}"
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = "admin"
  source_ami_filter {
    owners      = ["136693071363"] # Debian
    most_recent = true
    filters = {
      name                = "debian-12-${local.deb_arch}-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.volume_gib
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }
  # packer 1.7 and newer: begin
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # packer 1.7 and newer: end
}

source "amazon-ebs" "ubuntu" {
  ami_name      = "${var.ami_prefix}-ubuntu2204-${var.architecture}-${local.stamp}"
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = "ubuntu"
  source_ami_filter {
    owners      = ["099720109477"] # Canonical
    most_recent = true
    filters = {
      name                = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-${local.deb_arch}-server-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = var.volume_gib
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }
  # packer 1.7 and newer: begin
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  # packer 1.7 and newer: end
}

# The very same provisioning in a container, with no AWS: what the tests build and boot.
source "docker" "test" {
  image  = var.docker_image
  pull   = false
  commit = true
  changes = [
    "CMD [\"/lib/systemd/systemd\"]",
    "ENV container=docker",
  ]
}
