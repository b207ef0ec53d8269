variable "region" {
  type        = string
  description = "The AWS region to build the AMI in."
  default     = "us-east-1"
}

variable "ami_prefix" {
  type        = string
  description = "The AMI's name begins with this; system, architecture and time follow."
  default     = "batch-node"
}

variable "architecture" {
  type        = string
  description = "x86_64 or arm64."
  default     = "x86_64"
}

variable "debian" {
  type        = string
  description = "The release that the source debian starts from: 12 or 13."
  default     = "12"
}

variable "ubuntu" {
  type        = string
  description = "The release that the source ubuntu starts from, as Canonical names it: jammy-22.04 or noble-24.04."
  default     = "noble-24.04"
}

variable "instance_type" {
  type        = string
  description = "What the AMI is built on. It must have the architecture, and with gpu = true an NVIDIA GPU."
  default     = "m6i.large"
}

variable "subnet_id" {
  type        = string
  description = "The subnet to build in; empty: the default VPC's."
  default     = ""
}

variable "iam_instance_profile" {
  type        = string
  description = "The instance profile of the machine that the AMI is built on; needed to pull images from ECR."
  default     = ""
}

variable "volume_gib" {
  type        = number
  description = "The root volume's size in GiB: images and jobs' files lie on it."
  default     = 50
}

variable "encrypt" {
  type        = bool
  description = "Encrypt the AMI's snapshot with the account's key for EBS. Such an AMI cannot be shared with other accounts."
  default     = false
}

variable "tags" {
  type        = map(string)
  description = "Tags of the AMI, its snapshot, and of the machine it is built on."
  default     = {}
}

variable "packages" {
  type        = string
  description = "The folder with the agent's .deb and .rpm, as scripts/package.sh leaves them."
  default     = "../target/package"
}

variable "compute_environment" {
  type        = string
  description = "Baked in as the host's compute environment, and the agent starts at boot; empty: user data says it."
  default     = ""
}

variable "images" {
  type        = string
  description = "Images to pull into the AMI, separated by blanks, so that the first jobs start at once."
  default     = ""
}

variable "archives" {
  type        = string
  description = "A folder with images as `docker save` writes them, *.tar or *.tar.gz, to load into the AMI."
  default     = "archives"
}

variable "extra_scripts" {
  type        = list(string)
  description = "Your own steps, run as root after those of this folder and before the clean-up and the check."
  default     = []
}

variable "nofile" {
  type        = string
  description = "How many files a job may have open unless its definition says, soft:hard."
  default     = "65536:1048576"
}

variable "gpu" {
  type        = bool
  description = "Install NVIDIA's driver and container toolkit."
  default     = false
}

variable "efs" {
  type        = bool
  description = "Install the EFS mount helper, for hosts that mount EFS under a path which job definitions name."
  default     = false
}

# The rest is for the source docker.host, with which the tests run the same provisioning in a container.

variable "docker_image" {
  type        = string
  description = "The image that it starts from."
  default     = "batch-node-agent-bake:cloud"
}

variable "docker_tag" {
  type        = string
  description = "The image that it leaves, NAME:TAG."
  default     = "batch-node-agent-bake:baked"
}

variable "docker_run" {
  type        = list(string)
  description = "Further arguments of `docker run`, such as volumes."
  default     = []
}
