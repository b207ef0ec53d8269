build {
  name = "batch-node"
  sources = [
    "source.amazon-ebs.al2023",
    "source.amazon-ebs.debian",
    "source.amazon-ebs.ubuntu",
    "source.docker.test",
  ]

  provisioner "shell" {
    inline = ["mkdir -p /tmp/bake/packages"]
  }

  provisioner "file" {
    source      = "${var.packages}/"
    destination = "/tmp/bake/packages"
  }

  provisioner "file" {
    source      = "files"
    destination = "/tmp/bake/files"
  }

  # In this order; each is one step, does nothing twice, and ends the build if it fails.
  provisioner "shell" {
    environment_vars = [
      "COMPUTE_ENVIRONMENT=${var.compute_environment}",
      "IMAGES=${var.images}",
      "GPU=${var.gpu}",
      "EFS=${var.efs}",
    ]
    execute_command = "chmod +x {{ .Path }}; if [ \"$(id -u)\" = 0 ]; then {{ .Vars }} bash {{ .Path }}; else sudo env {{ .Vars }} bash {{ .Path }}; fi"
    scripts = [
      "scripts/10-wait.sh",
      "scripts/20-docker.sh",
      "scripts/30-no-ecs-init.sh",
      "scripts/40-agent.sh",
      "scripts/50-kernel.sh",
      "scripts/60-gpu.sh",
      "scripts/61-efs.sh",
      "scripts/70-images.sh",
      "scripts/80-check.sh",
      "scripts/90-clean.sh",
    ]
  }

  post-processor "docker-tag" {
    only       = ["docker.test"]
    repository = var.docker_tag
    tags       = ["latest"]
  }

  post-processor "manifest" {
    except = ["docker.test"]
    output = "manifest.json"
  }
}
