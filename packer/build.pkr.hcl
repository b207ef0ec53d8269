locals {
  # Where everything is laid for the steps: the home of `bake` in files/lib.sh. Unlike /tmp it outlives a reboot of one's own.
  bake = "/var/tmp/bake"
}

build {
  name = "batch-node"

  source "amazon-ebs.host" {
    name         = "al2023"
    ami_name     = "${var.ami_prefix}-al2023-${local.variant}-${local.stamp}"
    ssh_username = "ec2-user"
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
  }

  source "amazon-ebs.host" {
    name         = "debian"
    ami_name     = "${var.ami_prefix}-debian${var.debian}-${local.variant}-${local.stamp}"
    ssh_username = "admin"
    source_ami_filter {
      owners      = ["136693071363"] # Debian
      most_recent = true
      filters = {
        name                = "debian-${var.debian}-${local.deb_arch}-*"
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
  }

  source "amazon-ebs.host" {
    name         = "ubuntu"
    ami_name     = "${var.ami_prefix}-ubuntu-${var.ubuntu}-${local.variant}-${local.stamp}"
    ssh_username = "ubuntu"
    source_ami_filter {
      owners      = ["099720109477"] # Canonical
      most_recent = true
      filters = {
        name                = "ubuntu/images/hvm-ssd*/ubuntu-${var.ubuntu}-${local.deb_arch}-server-*"
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
  }

  source "docker.host" {
    name = "test"
  }

  provisioner "shell" {
    inline = ["mkdir -p ${local.bake}/packages ${local.bake}/archives"]
  }

  provisioner "file" {
    source      = "files"
    destination = local.bake
  }

  provisioner "file" {
    source      = "${var.packages}/"
    destination = "${local.bake}/packages"
  }

  provisioner "file" {
    source      = "${var.archives}/"
    destination = "${local.bake}/archives"
  }

  # In this order; each is one step, does nothing twice, and ends the build if it fails.
  provisioner "shell" {
    environment_vars = [
      "COMPUTE_ENVIRONMENT=${var.compute_environment}",
      "IMAGES=${var.images}",
      "NOFILE=${var.nofile}",
      "GPU=${var.gpu}",
      "EFS=${var.efs}",
    ]
    remote_folder   = "/var/tmp"
    execute_command = "if [ \"$(id -u)\" = 0 ]; then env {{ .Vars }} bash {{ .Path }}; else sudo env {{ .Vars }} bash {{ .Path }}; fi"
    scripts = concat([
      "scripts/10-settle.sh",
      "scripts/20-docker.sh",
      "scripts/30-no-ecs-init.sh",
      "scripts/40-agent.sh",
      "scripts/50-host.sh",
      "scripts/60-gpu.sh",
      "scripts/61-efs.sh",
      "scripts/70-images.sh",
      ], var.extra_scripts, [
      "scripts/80-clean.sh",
      "scripts/90-check.sh",
    ])
  }

  post-processor "docker-tag" {
    only       = ["docker.test"]
    repository = split(":", var.docker_tag)[0]
    tags       = [split(":", var.docker_tag)[1]]
  }

  post-processor "manifest" {
    except = ["docker.test"]
    output = "manifest.json"
  }
}
