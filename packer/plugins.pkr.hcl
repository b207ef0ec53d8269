# For Packer 1.7 and newer, which fetches its plugins; older ones carry them, and must not be given this file.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
    docker = {
      source  = "github.com/hashicorp/docker"
      version = ">= 1.0.10"
    }
  }
}
